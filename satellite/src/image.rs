//! The source of the model server's image.

use crate::settings::Settings;
use crate::variants;

/// Whether the engine may pull the image. With `LUML_ENGINE=process` it is a program.
pub fn can_be_pulled(image: &str, settings: &Settings) -> bool {
    !settings.engine.is_process() && variants::make_command(image).is_none()
}

/// Instructions for an image that is not on this host.
pub fn remedy(image: &str, settings: &Settings) -> String {
    if settings.engine.is_process() {
        return format!(
            "install {image}, or set LUML_MODEL_SERVER to the path of luml-model-server"
        );
    }
    match variants::make_command(image) {
        Some(command) => {
            let source = match command.starts_with("docker") {
                true => " in a checkout of https://github.com/luml-ai/luml",
                false => "",
            };
            format!(
                "no registry has {image}: make it with `{command}`{source}, or set LUML_MODEL_IMAGES"
            )
        }
        None => format!("{} pull {image}, or set LUML_MODEL_IMAGES", settings.docker),
    }
}
