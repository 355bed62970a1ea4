//! The identity of the processor and of this process.

use std::path::Path;

use satellite_core::http::retry::random;

/// The letters and digits of names that Kubernetes generates.
const GENERATED_NAME_CHARS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The maximum length of an id: leaves room for prefixes in the name of a ConfigMap.
const MAX_LENGTH: usize = 200;

/// The configured id, or one that is derived if that is unambiguous. The error says
/// what was expected.
pub(super) fn processor_id(
    configured: Option<String>,
    pod_name: &str,
    in_cluster: bool,
) -> Result<String, String> {
    let id = match configured {
        Some(id) => id,
        None if in_cluster => of_pod(pod_name).ok_or_else(|| {
            format!(
                "expected the processor's id: it cannot be derived from the pod's name \
                 {pod_name:?}, which is neither a Deployment's nor a StatefulSet's"
            )
        })?,
        None => of_program().ok_or("expected the processor's id")?,
    };
    match is_name(&id) {
        true => Ok(id),
        false => Err(format!(
            "expected at most {MAX_LENGTH} lower case letters, digits, - and ., \
             a letter or digit at both ends, found {id:?}"
        )),
    }
}

/// The name of the Deployment; in a StatefulSet, where each pod has its own state, the
/// full name of the pod.
pub(super) fn of_pod(name: &str) -> Option<String> {
    let (rest, last) = name.rsplit_once('-')?;
    if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) && last.len() < 5 {
        return Some(name.to_owned());
    }
    let (deployment, hash) = rest.rsplit_once('-')?;
    let is_generated = |text: &str| text.chars().all(|c| GENERATED_NAME_CHARS.contains(c));
    let is_pod = last.len() == 5 && is_generated(last);
    let is_hash = (6..=10).contains(&hash.len()) && is_generated(hash);
    (is_pod && is_hash && !deployment.is_empty()).then(|| deployment.to_owned())
}

/// The id that dory-sdk derives from a pod's name. It drops all trailing parts that may
/// be hashes, which includes most words: `my-app-7d9f8b6c5d-x2x4z`
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
    id.len() <= MAX_LENGTH
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

/// The holder name of this process: the pod's name, a unique suffix, and where it runs.
pub(super) fn holder(pod_name: &str, in_cluster: bool) -> String {
    let unique = (random() * (1u64 << 48) as f64) as u64;
    let pod: String = pod_name.split_whitespace().collect();
    let place = place(in_cluster).map(|place| format!(" @{place}"));
    let place = place.unwrap_or_default();
    format!("{pod} {}-{unique:012x}{place}", std::process::id())
}

/// The holder name of a process that edits a state from outside: never that of a pod, even
/// if it runs in one.
pub(super) fn editor() -> String {
    let host = host_name().unwrap_or_else(|| "localhost".to_owned());
    holder(&format!("{}{host}", super::document::EDITOR), false)
}

/// Whether the process of this holder has certainly ended, as seen by `own`: it ran in
/// this same pod, whose containers run one after the other, or on this host, where it no
/// longer exists.
pub(super) fn is_gone(holder: &str, own: &str, in_cluster: bool) -> bool {
    let parts = |holder: &str| {
        let mut parts = holder.splitn(3, ' ').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        (next(), next(), next())
    };
    let ((pod, process, place), (own_pod, _, own_place)) = (parts(holder), parts(own));
    if pod != own_pod {
        return false;
    }
    match in_cluster {
        // For a release that records no place, the name decides.
        true => place == own_place || place.is_empty(),
        false => {
            let pid = process.split('-').next().unwrap_or_default();
            let is_here = !place.is_empty() && place == own_place && !pid.is_empty();
            is_here && !Path::new("/proc").join(pid).exists()
        }
    }
}

/// Identifies this boot of the machine, and the pod or the pid namespace on it. `None`
/// if that cannot be determined.
fn place(in_cluster: bool) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let names: &[&str] = match in_cluster {
        true => &["net", "ipc", "uts"],
        false => &["pid"],
    };
    let mut text = boot;
    for name in names {
        let namespace = std::fs::read_link(Path::new("/proc/self/ns").join(name)).ok()?;
        text.push_str(namespace.to_str()?);
    }
    let mut sum = super::document::hex_sha256(text.as_bytes());
    sum.truncate(12);
    Some(sum)
}

/// A holder with its release: its configured revision, or the hash of the pod template
/// from its pod's name.
pub(super) fn release_of(holder: &str, revision: Option<u64>) -> String {
    let pod = super::document::pod_of(holder);
    let template = || {
        let (rest, _) = pod.rsplit_once('-')?;
        of_pod(pod).filter(|id| id != pod)?;
        rest.rsplit_once('-').map(|(_, hash)| hash)
    };
    let process = holder.split(" @").next().unwrap_or(holder);
    match (revision, template()) {
        (Some(revision), _) => format!("revision {revision} in {process}"),
        (None, Some(hash)) => format!("pod template {hash} in {process}"),
        (None, None) => process.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(pod: &str) -> Option<String> {
        processor_id(None, pod, true).ok()
    }

    #[test]
    fn pods_of_a_deployment_share_an_id_and_pods_of_a_statefulset_do_not() {
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
    fn an_id_that_cannot_be_derived_has_to_be_configured() {
        for pod in ["app", "my-app-x2x4z", "my-app-aeiou1-x2x4z", "job-20260101"] {
            assert_eq!(derived(pod), None, "{pod}");
            let id = processor_id(Some("orders".into()), pod, true);
            assert_eq!(id.as_deref(), Ok("orders"));
        }
    }

    #[test]
    fn a_holder_is_gone_only_if_that_is_certain() {
        let own = holder("a", true);
        assert!(is_gone(&holder("a", true), &own, true), "its own container");
        assert!(is_gone("a 1-2", &own, true), "of an older release");
        assert!(
            !is_gone("a 1-2 @elsewhere", &own, true),
            "another pod with the same name"
        );
        assert!(!is_gone(&holder("b", true), &own, true));

        let own = holder("h", false);
        let gone = own.replacen(&format!(" {}-", std::process::id()), " 4194999-", 1);
        assert!(!is_gone(&own, &own, false), "it runs");
        assert_eq!(is_gone(&gone, &own, false), cfg!(target_os = "linux"));
        assert!(!is_gone("h 4194999-2 @elsewhere", &own, false));
        assert!(!is_gone("h 4194999-2", &own, false));
    }

    #[test]
    fn a_release_is_named_by_its_revision_or_its_pod_template() {
        let pod = "my-app-7d9f8b6c5d-x2x4z 1-2 @3";
        let expected = "revision 7 in my-app-7d9f8b6c5d-x2x4z 1-2";
        assert_eq!(release_of(pod, Some(7)), expected);
        let expected = "pod template 7d9f8b6c5d in my-app-7d9f8b6c5d-x2x4z 1-2";
        assert_eq!(release_of(pod, None), expected);
        assert_eq!(release_of("app-0 1-2 @3", None), "app-0 1-2");
    }

    #[test]
    fn invalid_ids_are_rejected() {
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
