//! The calling user, for servers without tokens.

use satellite_core::Variables;

/// The id and the name of the calling user.
#[derive(Default)]
pub struct User {
    id: Option<String>,
    name: Option<String>,
}

impl User {
    pub(super) fn new(id: String, name: String) -> Self {
        User {
            id: Some(id),
            name: Some(name),
        }
    }

    /// Reads unset fields from the environment variables.
    pub(super) fn read(&mut self, variables: &Variables) {
        self.id = self
            .id
            .take()
            .or_else(|| variables.text("SKYPILOT_USER_ID"));
        self.name = self.name.take().or_else(|| variables.text("SKYPILOT_USER"));
    }

    /// The user as variables of a request. Empty if they are not needed and no user is
    /// configured.
    pub(super) fn variables(&self, is_needed: bool) -> Vec<(&'static str, String)> {
        if !is_needed && self.id.is_none() && self.name.is_none() {
            return Vec::new();
        }
        let name = self.name.clone().unwrap_or_else(|| "satellite".to_owned());
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| format!("{:08x}", fnv(&name)));
        vec![("SKYPILOT_USER_ID", id), ("SKYPILOT_USER", name)]
    }
}

/// The FNV-1a hash: always the same eight digits for the same name.
fn fnv(text: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    text.bytes().fold(0x811c_9dc5, step)
}
