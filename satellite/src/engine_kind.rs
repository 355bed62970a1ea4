//! What runs the model servers.

/// What runs the model servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// A container engine, through its command line program.
    Docker,
    /// This satellite: as its child processes.
    Process,
}

impl EngineKind {
    pub fn is_process(self) -> bool {
        self == EngineKind::Process
    }
}
