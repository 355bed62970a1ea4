//! "Did you mean …?" suggestions for unknown setting names.

/// The known name most similar to `name`, if it is similar enough to be the intended
/// one: few letters differ, or only whole words are missing. Of several, the first.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().filter_map(|candidate| {
        if let Some(words) = missing_words(name, candidate) {
            return Some((words, candidate));
        }
        let distance = distance(name, candidate);
        // The common prefix does not distinguish names.
        let longest = without_prefix(name)
            .len()
            .max(without_prefix(candidate).len());
        (distance <= longest / 3).then_some((distance, candidate))
    });
    let nearest = near.min_by_key(|(differences, _)| *differences);
    nearest.map(|(_, candidate)| candidate)
}

fn without_prefix(name: &str) -> &str {
    name.split_once('_').map_or(name, |(_, rest)| rest)
}

/// How many words `name` lacks, if all it has are words of `candidate`: 1 for `LUML_TOKEN`
/// and `LUML_SATELLITE_TOKEN`.
fn missing_words(name: &str, candidate: &str) -> Option<usize> {
    let mut words = candidate.split('_');
    let is_part = name.contains('_') && name.split('_').all(|word| words.any(|w| w == word));
    is_part.then(|| candidate.split('_').count() - name.split('_').count())
}

/// The edit distance: how many letters have to be inserted, removed, replaced, or
/// swapped with their neighbour to turn one name into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 10] = [
        "LUML_SATELLITE_TOKEN_FILE",
        "LUML_SATELLITE_TOKEN",
        "LUML_PAGE_TOKEN",
        "LUML_PLATFORM_URL",
        "LUML_POLL_INTERVAL_SEC",
        "LUML_HEALTH_PORT",
        "LUML_MODEL_PORT",
        "LUML_CA_FILE",
        "LUML_STATE_DIR",
        "LUML_DOCKER",
    ];

    #[test]
    fn a_misspelt_name_matches_the_intended_one() {
        for (name, meant) in [
            ("LUML_SATELITE_TOKEN", "LUML_SATELLITE_TOKEN"),
            ("LUML_TOKEN", "LUML_SATELLITE_TOKEN"),
            ("LUML_TOKEN_FILE", "LUML_SATELLITE_TOKEN_FILE"),
            ("LUML_PLATFROM_URL", "LUML_PLATFORM_URL"),
            ("LUML_POLL_INTERVAL", "LUML_POLL_INTERVAL_SEC"),
            ("LUML_POLL_INTERVAL_SECS", "LUML_POLL_INTERVAL_SEC"),
            ("LUML_HEALTH_PROT", "LUML_HEALTH_PORT"),
            ("LUML_CA_FIEL", "LUML_CA_FILE"),
            ("LUML_STATEDIR", "LUML_STATE_DIR"),
            ("LUML_DOCKRE", "LUML_DOCKER"),
        ] {
            assert_eq!(nearest(name, KNOWN), Some(meant), "{name}");
        }
    }

    #[test]
    fn a_name_of_another_tool_matches_none() {
        for name in [
            "LUML_API_KEY",
            "LUML_MODEL_NAME",
            "LUML_",
            "LUML_ORGANISATION",
            "",
        ] {
            assert_eq!(nearest(name, KNOWN), None, "{name}");
        }
    }
}
