//! The source of the model server's image.

use crate::settings::{DEFAULT_IMAGE, Settings};

/// Whether the image may be pulled. The default image is in no registry: anyone could
/// register its name there and would decide what runs.
pub fn can_be_pulled(image: &str) -> bool {
    image != DEFAULT_IMAGE
}

/// Instructions for an image that is not on this host.
pub fn remedy(image: &str, settings: &Settings) -> String {
    let port = settings.model_port;
    if can_be_pulled(image) {
        let program = &settings.docker;
        return format!("{program} pull {image}, or set LUML_MODEL_IMAGE");
    }
    format!(
        "no registry has {image}: build it in a checkout of https://github.com/luml-ai/luml with \
         `{} build --tag {image} model_servers/default`, or set LUML_MODEL_IMAGE to an image \
         of a model server that answers GET /healthz and POST /compute on port {port}",
        settings.docker
    )
}
