//! `Cast` of the standard domain, with strings on either side and with 64-bit integers.
//!
//! tract's own casts to 64-bit integers by way of its dimension type, which cuts numbers to
//! 32 bits, and it reads strings as floats only.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::ops::cast::cast as tract_cast;

use super::kernel::{Built, Form, Kernel, wire};
use super::values::{slice, tensor};

pub(super) fn cast(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    Ok((
        expand(Cast {
            to: node.get_attr("to")?,
        }),
        vec![],
    ))
}

#[derive(Clone, Debug)]
struct Cast {
    to: DatumType,
}

impl Cast {
    /// A dimension stays one: it may be part of a shape.
    fn target(&self, from: DatumType) -> DatumType {
        let is_dim = from == TDim::datum_type() && self.to == i64::datum_type();
        if is_dim { from } else { self.to }
    }
}

impl Expansion for Cast {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        s.given(&inputs[0].datum_type, move |s, from| {
            s.equals(&outputs[0].datum_type, self.target(from))
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let from = model.outlet_fact(inputs[0])?.datum_type;
        let text = String::datum_type();
        if from == text && self.to != text {
            return wire(prefix, model, inputs, FromText { to: self.to });
        }
        if from != text && self.to == text {
            return wire(prefix, model, inputs, ToText);
        }
        model.wire_node(prefix, tract_cast(self.target(from)), inputs)
    }
}

#[derive(Debug)]
struct FromText {
    to: DatumType,
}

impl FromText {
    fn parse<T: Datum + std::str::FromStr>(&self, input: &Tensor) -> TractResult<Tensor> {
        let to = self.to;
        let parse = |text: &String| {
            let parsed = text.trim().parse::<T>();
            parsed.map_err(|_| format_err!("{text:?} is not a number of the type {to:?}"))
        };
        tensor(
            input.shape(),
            slice::<String>(input)?
                .iter()
                .map(parse)
                .collect::<TractResult<_>>()?,
        )
    }
}

impl Kernel for FromText {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        ensure!(
            self.to.is_number(),
            "strings cannot be cast to the type {:?}",
            self.to
        );
        Ok(vec![Form::new(self.to, inputs[0].shape.iter().cloned())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        if self.to.is_float() {
            let wide = self.parse::<f64>(&inputs[0])?;
            return Ok(vec![wide.cast_to_dt(self.to)?.into_owned()]);
        }
        Ok(vec![dispatch_numbers!(Self::parse(self.to)(
            self, &inputs[0]
        ))?])
    }
}

#[derive(Debug)]
struct ToText;

impl Kernel for ToText {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        Ok(vec![Form::new(
            String::datum_type(),
            inputs[0].shape.iter().cloned(),
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let input = &inputs[0];
        let texts = if input.datum_type().is_float() {
            let wide = input.cast_to::<f64>()?;
            slice::<f64>(&wide)?
                .iter()
                .map(|value| eight_digits(*value))
                .collect()
        } else if input.datum_type() == u64::datum_type() {
            slice::<u64>(input)?.iter().map(u64::to_string).collect()
        } else {
            // A truth value is 0 or 1.
            let wide = input.cast_to::<i64>()?;
            slice::<i64>(&wide)?
                .iter()
                .map(i64::to_string)
                .collect::<Vec<_>>()
        };
        Ok(vec![tensor(input.shape(), texts)?])
    }
}

/// The number as onnxruntime writes it: up to eight significant digits, with an exponent if
/// that is below -4 or above 7 (`%.8g`).
fn eight_digits(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "INF" } else { "-INF" }.to_owned();
    }
    let scientific = format!("{value:.7e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let shorten = |digits: &str| match digits.contains('.') {
        true => digits
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        false => digits.to_owned(),
    };
    if (-4..8).contains(&exponent) {
        return shorten(&format!("{value:.*}", (7 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", shorten(digits), exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::eight_digits;

    #[test]
    fn numbers_become_text_of_eight_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (100.0, "100"),
            (99999999.4, "99999999"),
            (99999999.6, "1e+08"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.25e-20, "-1.25e-20"),
        ] {
            assert_eq!(eight_digits(value), text);
        }
    }
}
