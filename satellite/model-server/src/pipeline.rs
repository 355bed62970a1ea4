//! A pipeline: its operators in their order, and the values between them.

use std::collections::BTreeMap;

use tract_onnx::prelude::{IntoTValue, TValue, TVec, Tensor, tensor0};

use crate::artifact::{Artifact, Dim, PipelineConfig, Shape, Variant};
use crate::failure::{Failure, Kind, Result};
use crate::onnx::{Model, Parsed, PlanError};
use crate::tensor::{Dtype, Input, InputError, Labels, encode, string};

/// A model that is ready to compute.
#[derive(Debug)]
pub struct Pipeline {
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    models: Vec<Model>,
    steps: Vec<Step>,
    values: usize,
}

#[derive(Debug)]
struct Output {
    name: String,
    value: usize,
    labels: Option<Labels>,
}

/// One node: a model, and the values that it takes and makes.
#[derive(Debug)]
struct Step {
    model: usize,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

/// Why a request could not be computed.
#[derive(Debug)]
pub enum ComputeError {
    /// The inputs are wrong.
    Input(InputError),
    /// The model failed on valid inputs.
    Model(String),
}

/// The sizes that the warm-up tries for a named size. Some models need larger ones: the kernel
/// of a convolution has to fit.
const WARM_UP_SIZES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 224];

impl Pipeline {
    /// Builds all operators of an artifact. Each keeps at most `plans` plans.
    ///
    /// # Errors
    /// Names everything that this server cannot run.
    pub fn build(artifact: &Artifact, plans: usize) -> Result<Pipeline> {
        let config = match &artifact.variant {
            Variant::Pipeline(config) => config,
            Variant::PyFunc { .. } => return Err(needs_python(artifact)),
        };
        let inputs = artifact.manifest.inputs.iter().map(|port| {
            let dtype = Dtype::parse(port.dtype()).map_err(|why| {
                Failure::unsupported(format_args!("manifest.json: input {}: {why}", port.name()))
            })?;
            Ok(Input {
                name: port.name().to_owned(),
                dtype,
                shape: port.shape().to_vec(),
            })
        });
        let inputs: Vec<Input> = inputs.collect::<Result<_>>()?;
        let models = models(artifact, config, plans)?;
        let mut values = Names::default();
        for input in &inputs {
            values.number(&input.name);
        }
        let mut labels = BTreeMap::new();
        let mut steps = Vec::new();
        for node in &config.nodes {
            let found = models
                .iter()
                .position(|model| model.id == node.op_instance_id);
            let model = found.ok_or_else(|| Failure::invalid("a node without an op instance"))?;
            let mut numbers = |names: &[String]| -> Vec<usize> {
                names.iter().map(|name| values.number(name)).collect()
            };
            let step = Step {
                model,
                inputs: numbers(&node.inputs),
                outputs: numbers(&node.outputs),
            };
            for (value, own) in step.outputs.iter().zip(&models[model].labels) {
                labels.extend(own.clone().map(|own| (*value, own)));
            }
            steps.push(step);
        }
        let outputs = artifact.manifest.outputs.iter().map(|port| {
            let value = values.number(port.name());
            Output {
                name: port.name().to_owned(),
                value,
                labels: labels.get(&value).cloned(),
            }
        });
        let outputs = outputs.collect();
        let pipeline = Pipeline {
            inputs,
            outputs,
            models,
            steps,
            values: values.0.len(),
        };
        pipeline.check_types()?;
        Ok(pipeline)
    }

    /// The declared inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Plans in memory, and plans built so far, of all operators.
    pub fn plans(&self) -> (usize, u64) {
        let figures = self.models.iter().map(Model::plans);
        figures.fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
    }

    /// Computes one request and appends the outputs to `to` as a JSON object.
    pub fn compute(&self, inputs: Vec<Tensor>, to: &mut Vec<u8>) -> Result<(), ComputeError> {
        let mut values: Vec<Option<TValue>> = vec![None; self.values];
        for (value, tensor) in values.iter_mut().zip(inputs) {
            *value = Some(tensor.into_tvalue());
        }
        for step in &self.steps {
            self.run(step, &mut values).map_err(|error| match error {
                ComputeError::Model(text) => self.blame(text, &values),
                error => error,
            })?;
        }
        to.push(b'{');
        for (at, output) in self.outputs.iter().enumerate() {
            if at > 0 {
                to.push(b',');
            }
            string(&output.name, to);
            to.push(b':');
            let value = values[output.value].as_ref();
            let value = value.ok_or_else(|| ComputeError::Model("an output is missing".into()))?;
            encode(value, output.labels.as_ref(), to)
                .map_err(|e| ComputeError::Model(format!("the output {}: {e:#}", output.name)))?;
        }
        to.push(b'}');
        Ok(())
    }

    /// Computes a request of zeros, so that the first real one finds a plan. If the model does
    /// not compute zeros, which need not be valid values, ones have to do.
    ///
    /// # Errors
    /// If the model runs with no size of its inputs: names the operator that tract cannot run.
    pub fn warm_up(&self) -> Result<()> {
        let mut first = None;
        for size in WARM_UP_SIZES {
            for value in [0, 1] {
                match self.compute(self.example(size, value), &mut Vec::new()) {
                    Ok(()) => return Ok(()),
                    Err(ComputeError::Input(error)) => {
                        first.get_or_insert(error.text);
                        break; // it is about the sizes
                    }
                    Err(ComputeError::Model(text)) => {
                        first.get_or_insert(text);
                    }
                }
            }
        }
        let why = first.unwrap_or_default();
        Err(Failure::unsupported(format_args!(
            "the model does not run here: {why}"
        )))
    }

    /// Inputs that are all 0 or all 1 (`fill`), with this size for each name. Strings are empty
    /// or "1".
    pub fn example(&self, size: usize, fill: u8) -> Vec<Tensor> {
        let inputs = self.inputs.iter().enumerate();
        let tensors = inputs.map(|(value, input)| {
            let mut shape = input.shape.clone();
            for step in &self.steps {
                let takers = step.inputs.iter().zip(&self.models[step.model].inputs);
                for (_, port) in takers.filter(|(taken, _)| **taken == value) {
                    for (dim, own) in shape.iter_mut().zip(&port.shape) {
                        if matches!(dim, Dim::Named(_)) {
                            *dim = own.clone();
                        }
                    }
                }
            }
            let sizes = shape.iter().map(|dim| match dim {
                Dim::Fixed(size) => *size,
                Dim::Named(_) => size,
            });
            let sizes: TVec<usize> = sizes.collect();
            let one = match input.dtype {
                Dtype::String => tensor0(["", "1"][usize::from(fill)].to_owned()),
                Dtype::Bool => tensor0(fill == 1),
                dtype => tensor0(fill).cast_to_dt(dtype.datum())?.into_owned(),
            };
            one.broadcast_scalar_to_shape(&sizes)
        });
        // None fails: the number of elements fits, and each type has these values.
        tensors.filter_map(|tensor| tensor.ok()).collect()
    }

    fn run(&self, step: &Step, values: &mut [Option<TValue>]) -> Result<(), ComputeError> {
        let model = &self.models[step.model];
        let mut inputs = TVec::new();
        for (&value, port) in step.inputs.iter().zip(&model.inputs) {
            let tensor = values[value].clone();
            let tensor = tensor.ok_or_else(|| ComputeError::Model("a value is missing".into()))?;
            if let Some(why) = mismatch(&tensor, port.dtype, &port.shape) {
                return Err(match self.inputs.get(value) {
                    Some(input) => wrong_input(&input.name, why),
                    None => ComputeError::Model(format!(
                        "the input {} of {}: {why}",
                        port.name, model.id
                    )),
                });
            }
            inputs.push(tensor);
        }
        let outputs = model.run(inputs).map_err(|error| match error {
            PlanError::Run(text) => ComputeError::Model(format!("{}: {text}", model.id)),
            PlanError::Sizes(text) => {
                let sizes = step.inputs.iter().filter_map(|&value| {
                    let tensor = values[value].as_ref()?;
                    let input = self.inputs.get(value);
                    let name = input.map_or("an inner value", |input| &input.name);
                    Some(format!("{name} {}", Shape(tensor.shape())))
                });
                let sizes: Vec<_> = sizes.collect();
                let list = sizes.join(", ");
                ComputeError::Input(InputError {
                    path: "inputs".into(),
                    text: format!("{} does not accept these sizes: {list}: {text}", model.id),
                })
            }
        })?;
        for (&value, tensor) in step.outputs.iter().zip(outputs) {
            values[value] = Some(tensor);
        }
        Ok(())
    }

    /// The inputs are at fault if a size with a name differs between them. That alone is no error:
    /// some models broadcast.
    fn blame(&self, text: String, values: &[Option<TValue>]) -> ComputeError {
        let mut sizes: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
        for (input, value) in self.inputs.iter().zip(values) {
            let Some(value) = value else { continue };
            for (dim, &size) in input.shape.iter().zip(value.shape()) {
                let Dim::Named(name) = dim else { continue };
                let (first, expected) = *sizes.entry(name).or_insert((&input.name, size));
                if expected != size {
                    let own = &input.name;
                    return ComputeError::Input(InputError {
                        path: "inputs".into(),
                        text: format!(
                            "{name} is {expected} in {first} and {size} in {own}: {text}"
                        ),
                    });
                }
            }
        }
        ComputeError::Model(text)
    }

    /// The types of the inputs are those that the operators take.
    fn check_types(&self) -> Result<()> {
        for step in &self.steps {
            let model = &self.models[step.model];
            for (&value, port) in step.inputs.iter().zip(&model.inputs) {
                let Some(input) = self.inputs.get(value) else {
                    continue;
                };
                let fits = |(own, other): (&Dim, &Dim)| match (own, other) {
                    (Dim::Fixed(own), Dim::Fixed(other)) => own == other,
                    _ => true,
                };
                let is_same = input.dtype == port.dtype
                    && input.shape.len() == port.shape.len()
                    && input.shape.iter().zip(&port.shape).all(fits);
                if !is_same {
                    return Err(Failure::invalid(format_args!(
                        "manifest.json: the input {} is Array[{}] of the shape {}, but {} takes \
                         Array[{}] of the shape {}",
                        input.name,
                        input.dtype.name(),
                        Shape(&input.shape),
                        model.id,
                        port.dtype.name(),
                        Shape(&port.shape)
                    )));
                }
            }
        }
        Ok(())
    }
}

fn wrong_input(name: &str, text: String) -> ComputeError {
    let path = format!("inputs.{name}");
    ComputeError::Input(InputError { path, text })
}

fn models(artifact: &Artifact, config: &PipelineConfig, plans: usize) -> Result<Vec<Model>> {
    let is_used = |id: &str| config.nodes.iter().any(|node| node.op_instance_id == id);
    let mut models = Vec::new();
    let mut unsupported = Vec::new();
    for op in artifact.ops.iter().filter(|op| is_used(&op.id)) {
        let model = Parsed::read(op, &artifact.files).and_then(|parsed| parsed.build(plans));
        match model {
            Ok(model) => models.push(model),
            // The others may have more.
            Err(failure) if failure.kind() == Kind::Unsupported => {
                let lines = failure.to_string();
                unsupported.extend(lines.lines().map(|line| format!("{}: {line}", op.id)));
            }
            Err(failure) => return Err(failure.within(&op.id)),
        }
    }
    match unsupported.is_empty() {
        true => Ok(models),
        false => Err(Failure::unsupported(unsupported.join("\n"))),
    }
}

/// Why a pyfunc is not served, and the setting of the satellite that names what serves it.
fn needs_python(artifact: &Artifact) -> Failure {
    let python = artifact.python.as_deref().unwrap_or("3");
    let read = |name: &str| std::env::var(name).unwrap_or_default();
    let images = read("LUML_MODEL_IMAGES");
    let own = images.split(',').find_map(|item| {
        let (variant, image) = item.split_once('=')?;
        (variant.trim() == "pyfunc").then(|| image.trim().to_owned())
    });
    let image = own.unwrap_or_else(|| read("LUML_MODEL_IMAGE").trim().to_owned());
    let (what, image) = match &*image {
        "" => ("an image that has Python".to_owned(), "IMAGE"),
        image => (format!("the image {image}"), image),
    };
    Failure::unsupported(format_args!(
        "{} has the variant pyfunc, which needs Python {python}; this server runs only pipelines. \
         Serve it with {what}: set LUML_MODEL_IMAGES=pyfunc={image} for the satellite",
        artifact.title()
    ))
}

fn mismatch(tensor: &Tensor, dtype: Dtype, shape: &[Dim]) -> Option<String> {
    if tensor.datum_type() != dtype.datum() {
        return Some(format!(
            "has the type {:?}, expected {}",
            tensor.datum_type(),
            dtype.name()
        ));
    }
    let fits = |(dim, size): (&Dim, &usize)| match dim {
        Dim::Fixed(own) => own == size,
        Dim::Named(_) => true,
    };
    let is_same = tensor.rank() == shape.len() && shape.iter().zip(tensor.shape()).all(fits);
    (!is_same).then(|| {
        format!(
            "has the shape {}, expected {}",
            Shape(tensor.shape()),
            Shape(shape)
        )
    })
}

/// Numbers for the names of values.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn number(&mut self, name: &str) -> usize {
        let found = self.0.iter().position(|own| own == name);
        found.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }
}
