//! The return types allowed for a closure that is called repeatedly.

use crate::failure::Failure;

/// The return type of a closure that is called repeatedly: nothing, or a
/// `Result<(), E>`.
#[diagnostic::on_unimplemented(
    message = "this closure returns nothing or a `Result<(), E>`, not `{Self}`",
    label = "this closure returns `{Self}`",
    note = "end it with a semicolon, or with `satellite_sdk::done(())` where `?` is used in it"
)]
pub trait Ended {
    #[doc(hidden)]
    type Error;

    #[doc(hidden)]
    fn outcome(self) -> Result<(), Failure>;
}

impl Ended for () {
    type Error = Failure;

    fn outcome(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<E: Into<Failure>> Ended for Result<(), E> {
    type Error = E;

    fn outcome(self) -> Result<(), Failure> {
        self.map_err(Into::into)
    }
}
