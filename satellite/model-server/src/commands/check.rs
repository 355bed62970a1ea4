//! `check`: what a model needs, and whether this server has it.

use crate::artifact::{Artifact, Port, Shape, Variant};
use crate::failure::Result;
use crate::load;
use crate::onnx::Parsed;
use crate::pipeline::Pipeline;
use crate::settings::Settings;
use crate::tensor::Dtype;

/// Prints a table, then builds the model and computes once.
pub fn check(place: &str, settings: &Settings) -> Result<()> {
    let artifact = load::artifact(place, settings)?;
    let row = |what: &str, value: &str| println!("{what:<22} {value}");
    row("model", &artifact.title());
    row("variant", &artifact.manifest.variant);
    let producer = format!(
        "{} {}",
        artifact.manifest.producer_name, artifact.manifest.producer_version
    );
    row("producer", &producer);
    row("tags", &artifact.manifest.producer_tags.join(", "));
    for line in &artifact.meta {
        row("made by", line);
    }
    ports("input", &artifact.manifest.inputs);
    ports("output", &artifact.manifest.outputs);
    for attribute in &artifact.manifest.dynamic_attributes {
        row("dynamic attribute", &attribute.name);
    }
    for variable in &artifact.manifest.env_vars {
        row("environment variable", &variable.name);
    }
    if let Variant::PyFunc { class } = &artifact.variant {
        row("class", class);
    } else {
        operators(&artifact)?;
    }
    let has = |present| if present { "yes" } else { "no" };
    row("reference profile", has(artifact.reference_profile.is_some()));
    let pipeline = Pipeline::build(&artifact, settings.plans)?;
    pipeline.warm_up()?;
    row("result", "supported: the model was built and computed once");
    Ok(())
}

fn ports(what: &str, ports: &[Port]) {
    for port in ports {
        let supported = match Dtype::parse(port.dtype()) {
            Ok(_) => "",
            Err(_) => "   NOT SUPPORTED",
        };
        println!(
            "{what:<22} {:<20} {} {}{supported}",
            port.name(),
            port.dtype(),
            Shape(port.shape())
        );
    }
}

fn operators(artifact: &Artifact) -> Result<()> {
    for op in &artifact.ops {
        let survey = Parsed::read(op, &artifact.files)?.survey;
        println!("{:<22} {}", format!("op {}", op.id), survey.opsets.join(", "));
        for (name, count) in &survey.operators {
            println!("{:<22} {name:<20} {count}", "  operator");
        }
        for problem in &survey.unsupported {
            println!("{:<22} {problem}", "  NOT SUPPORTED");
        }
    }
    Ok(())
}
