//! The two API versions of a Basilica service.

/// The API version of a Basilica service: see the [crate documentation](crate#two-apis).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ApiVersion {
    /// The gateway API of September 2025: `rentals` of `executors`.
    #[default]
    Rentals,
    /// The newer API: `deployments` by name, on `nodes`.
    Deployments,
}
