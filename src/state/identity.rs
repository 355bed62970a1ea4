//! Whose state this is.

use std::path::Path;

use crate::http::retry::random;

/// The letters and digits of names that Kubernetes makes up.
const MADE_UP: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Longer ones would not fit into the name of a ConfigMap with room to spare.
const LONGEST: usize = 200;

/// The id that was told, or one that is derived where that is safe; or what
/// was expected.
pub(super) fn processor_id(
    told: Option<String>,
    pod_name: &str,
    in_cluster: bool,
) -> Result<String, String> {
    let id = match told {
        Some(id) => id,
        None if in_cluster => of_pod(pod_name).ok_or_else(|| {
            format!(
                "expected the processor's id: it does not follow from the pod's name {pod_name:?}, \
                 which is neither a Deployment's nor a StatefulSet's"
            )
        })?,
        None => of_program().ok_or("expected the processor's id")?,
    };
    match is_name(&id) {
        true => Ok(id),
        false => Err(format!(
            "expected at most {LONGEST} lower case letters, digits, - and ., \
             a letter or digit at both ends, found {id:?}"
        )),
    }
}

/// The name of the Deployment; the pod's whole name in a StatefulSet, each of
/// whose pods has a state of its own.
pub(super) fn of_pod(name: &str) -> Option<String> {
    let (rest, last) = name.rsplit_once('-')?;
    if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) && last.len() < 5 {
        return Some(name.to_owned());
    }
    let (deployment, hash) = rest.rsplit_once('-')?;
    let is_made_up = |text: &str| text.chars().all(|c| MADE_UP.contains(c));
    let is_pod = last.len() == 5 && is_made_up(last);
    let is_hash = (6..=10).contains(&hash.len()) && is_made_up(hash);
    (is_pod && is_hash && !deployment.is_empty()).then(|| deployment.to_owned())
}

/// The id that dory-sdk derives from a pod's name. It drops all parts at the end
/// that may be hashes, which most words are as well: `my-app-7d9f8b6c5d-x2x4z`
/// becomes `my`.
pub(super) fn of_original(pod_name: &str) -> String {
    let parts: Vec<&str> = pod_name.split('-').collect();
    let may_be_hash = |part: &&str| {
        (1..=10).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let kept = match parts.len() {
        0..=2 => 1,
        count => {
            let dropped = parts.iter().rev().take_while(|part| may_be_hash(part));
            (count - dropped.count()).max(1)
        }
    };
    parts[..kept].join("-")
}

fn of_program() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    let stem = Path::new(&path).file_stem()?.to_str()?.to_ascii_lowercase();
    let id: String = stem
        .chars()
        .map(|c| if is_name_char(c) { c } else { '-' })
        .collect();
    Some(id.trim_matches(['-', '.']).to_owned())
}

pub(super) fn is_name(id: &str) -> bool {
    let ends_well = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    id.len() <= LONGEST
        && id.chars().all(is_name_char)
        && ends_well(id.chars().next())
        && ends_well(id.chars().last())
        && !id.contains("..")
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.'
}

pub(super) fn host_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// One name for this process: the pod's, and what no other process has.
pub(super) fn holder(pod_name: &str) -> String {
    let unique = (random() * (1u64 << 48) as f64) as u64;
    let pod: String = pod_name.split_whitespace().collect();
    format!("{pod} {}-{unique:012x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(pod: &str) -> Option<String> {
        processor_id(None, pod, true).ok()
    }

    #[test]
    fn a_deployments_pods_have_one_id_and_a_statefulsets_each_their_own() {
        for (pod, id) in [
            ("my-app-7d9f8b6c5d-x2x4z", "my-app"),
            ("my-app-6c5db8f9-tq9wv", "my-app"),
            ("my-db-7d9f8b6c5d-x2x4z", "my-db"),
            ("app-0", "app-0"),
            ("app-1", "app-1"),
            ("my-db-12", "my-db-12"),
        ] {
            assert_eq!(derived(pod).as_deref(), Some(id), "{pod}");
        }
    }

    #[test]
    fn where_it_does_not_follow_it_has_to_be_told() {
        for pod in ["app", "my-app-x2x4z", "my-app-aeiou1-x2x4z", "job-20260101"] {
            assert_eq!(derived(pod), None, "{pod}");
            let told = processor_id(Some("orders".into()), pod, true);
            assert_eq!(told.as_deref(), Ok("orders"));
        }
    }

    #[test]
    fn an_id_is_a_name_and_nothing_else() {
        for wrong in [
            "",
            "..",
            "a/b",
            "../x",
            "A",
            "-a",
            "a-",
            "a b",
            "a..b",
            &"x".repeat(201),
        ] {
            assert!(
                processor_id(Some(wrong.into()), "", false).is_err(),
                "{wrong:?}"
            );
        }
    }
}
