/// Defines the builder of one client: a type in the client's own crate, with the
/// settings that all clients have. The crate adds its own through `self.options()`.
#[macro_export]
#[doc(hidden)]
macro_rules! client_builder {
    ($(#[$doc:meta])* pub struct $builder:ident for $client:ty;) => {
        $(#[$doc])*
        #[must_use = "a builder does nothing until `build`"]
        pub struct $builder($crate::client::ClientBuilder<$client>);

        impl $builder {
            /// Sets the server's address.
            pub fn url(self, url: impl Into<String>) -> Self {
                $builder(self.0.url(url))
            }

            /// Sets the token that authenticates the caller.
            pub fn token(self, token: impl Into<$crate::Secret>) -> Self {
                $builder(self.0.token(token))
            }

            /// Sets the time limits.
            pub fn limits(self, limits: $crate::client::TimeLimits) -> Self {
                $builder(self.0.limits(limits))
            }

            /// Sets how often one call is retried; 0 disables retries.
            pub fn max_retries(self, most: u32) -> Self {
                $builder(self.0.max_retries(most))
            }

            /// Sets the delay before the first retry; it doubles with each further one.
            pub fn retry_delay(self, delay: ::std::time::Duration) -> Self {
                $builder(self.0.retry_delay(delay))
            }

            /// Sets the longest delay between two retries. Default: 60 s.
            pub fn max_retry_delay(self, delay: ::std::time::Duration) -> Self {
                $builder(self.0.max_retry_delay(delay))
            }

            /// Trusts the certificate authorities in this PEM file instead of the public ones.
            pub fn ca_file(self, path: impl Into<::std::path::PathBuf>) -> Self {
                $builder(self.0.ca_file(path))
            }

            /// Allows secrets to travel over plain http to hosts other than loopback.
            pub fn allow_plain_http(self, allow: bool) -> Self {
                $builder(self.0.allow_plain_http(allow))
            }

            /// Reads settings from these variables instead of the environment.
            pub fn variables(self, variables: $crate::Variables) -> Self {
                $builder(self.0.variables(variables))
            }

            /// Uses this clock; for tests.
            pub fn clock(self, clock: impl $crate::Clock) -> Self {
                $builder(self.0.clock(clock))
            }

            /// Checks the settings and builds the client. Sends nothing.
            ///
            /// # Errors
            /// `is_settings()`; the message names each wrong setting.
            pub fn build(self) -> $crate::Result<$client> {
                self.0.build()
            }

            #[allow(dead_code)]
            pub(crate) fn options(&mut self) -> &mut <$client as $crate::client::Client>::Options {
                &mut self.0.options
            }
        }

        impl Default for $builder {
            fn default() -> Self {
                $builder(Default::default())
            }
        }
    };
}
