//! The exit code that the shell itself reports in its output, after a marker, for servers
//! that always return 0.

use super::command::split_marker;
use super::models::{ExecutionResult, ExecutionStatus, Output};
use satellite_core::{Error, Result};

/// What a checked execution has to report.
#[derive(Debug, Clone)]
pub(super) struct Check {
    /// Precedes the exit code in the output.
    pub(super) marker: String,
    /// The request, for errors.
    pub(super) request: String,
    pub(super) is_checkpointed: bool,
}

impl Check {
    /// Sets the exit code of a result to that of the shell, and removes it from all fields of
    /// the response.
    pub(super) fn apply(&self, result: &mut ExecutionResult) -> Result<()> {
        let remove_marker = |text: &mut String| {
            if let Some((without_marker, _)) = split_marker(text, &self.marker) {
                *text = without_marker;
            }
        };
        remove_marker(&mut result.stderr);
        for value in result.extra.values_mut() {
            if let serde_json::Value::String(text) = value {
                remove_marker(text);
            }
        }
        match split_marker(&result.stdout, &self.marker) {
            Some((stdout, code)) => {
                result.stdout = stdout;
                result.exit_code = code;
                result.status = match code {
                    0 => ExecutionStatus::Success,
                    _ => ExecutionStatus::Error,
                };
            }
            None if result.is_success() => return Err(self.missing()),
            None => {}
        }
        Ok(())
    }

    /// The server reports success, and the shell reports nothing.
    fn missing(&self) -> Error {
        let request = &self.request;
        match self.is_checkpointed {
            true => Error::unsupported(format_args!(
                "{request}: the server responded to a checkpointed execution without running the command"
            )),
            false => Error::answer(request.clone(), "the shell did not report its exit code"),
        }
    }
}

/// Applies a [`Check`] to output that is streamed.
pub(super) struct Filter {
    check: Check,
    /// What precedes the exit code.
    begin: String,
    /// The end of standard output that may be a part of the marker and its exit code.
    held: String,
    exit_code: Option<i32>,
}

impl Filter {
    pub(super) fn new(check: Check) -> Self {
        Filter {
            begin: format!("{} ", check.marker),
            check,
            held: String::new(),
            exit_code: None,
        }
    }

    /// The items to return instead of this one.
    pub(super) fn take(&mut self, output: Output) -> Vec<Result<Output>> {
        let code = match output {
            Output::Stdout(text) => {
                self.held.push_str(&text);
                return self.released().into_iter().map(Ok).collect();
            }
            Output::Stderr(_) => return vec![Ok(output)],
            Output::Exit(code) => code,
        };
        let held = Some(std::mem::take(&mut self.held)).filter(|held| !held.is_empty());
        let exit = match self.exit_code {
            Some(code) => Ok(Output::Exit(code)),
            None if code == 0 => Err(self.check.missing()),
            None => Ok(Output::Exit(code)),
        };
        let held = held.map(|held| Ok(Output::Stdout(held)));
        held.into_iter().chain([exit]).collect()
    }

    /// The held output that is not a part of the marker and its exit code.
    fn released(&mut self) -> Option<Output> {
        let text = match self.held.rfind(&self.begin) {
            Some(at) => {
                let rest = self.held.split_off(at);
                match rest[self.begin.len()..].split_once('\n') {
                    Some((code, after)) => {
                        self.exit_code = code.trim().parse().ok();
                        std::mem::take(&mut self.held) + after
                    }
                    None => std::mem::replace(&mut self.held, rest),
                }
            }
            None => {
                let begins = (1..self.begin.len()).rev();
                let held = begins
                    .map(|n| &self.begin[..n])
                    .find(|part| self.held.ends_with(part));
                let rest = self
                    .held
                    .split_off(self.held.len() - held.map_or(0, str::len));
                std::mem::replace(&mut self.held, rest)
            }
        };
        (!text.is_empty()).then_some(Output::Stdout(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filtered(pieces: &[&str], code: i32) -> (String, Result<i32>) {
        let mut filter = Filter::new(Check {
            marker: "exit-1".into(),
            request: "POST".into(),
            is_checkpointed: false,
        });
        let outputs = pieces.iter().map(|piece| Output::Stdout((*piece).into()));
        let outputs = outputs.chain([Output::Exit(code)]);
        let items: Vec<_> = outputs.flat_map(|output| filter.take(output)).collect();
        let (mut text, mut end) = (String::new(), Ok(-1));
        for item in items {
            match item {
                Ok(Output::Exit(code)) => end = Ok(code),
                Ok(output) => text += &output.to_string(),
                Err(error) => end = Err(error),
            }
        }
        (text, end)
    }

    #[test]
    fn the_shells_exit_code_replaces_that_of_the_server() {
        let (text, end) = filtered(&["a\n", "be", "xit-1 ", "7\n"], 0);
        assert_eq!((text.as_str(), end.unwrap()), ("a\nb", 7));
        // A command that was killed before it could report.
        let (text, end) = filtered(&["a\n"], 137);
        assert_eq!((text.as_str(), end.unwrap()), ("a\n", 137));
        let (text, end) = filtered(&["a\nex"], 0);
        assert_eq!(text, "a\nex");
        assert!(end.unwrap_err().to_string().contains("exit code"));
    }

    proptest! {
        #[test]
        fn output_in_any_pieces_is_unchanged(
            text in "[a\nexit\\-1 ]{0,40}",
            cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            let whole = format!("{text}exit-1 3\n");
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([whole.len()]) {
                pieces.push(&whole[from..cut]);
                from = cut;
            }
            let (printed, end) = filtered(&pieces, 0);
            prop_assume!(!text.contains("exit-1 "));
            prop_assert_eq!(printed, text);
            prop_assert_eq!(end.unwrap(), 3);
        }
    }
}
