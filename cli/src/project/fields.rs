//! Values of options and manifests, parsed by the rules of Kubernetes.

use std::fmt;
use std::str::FromStr;

/// A label by RFC 1123: the name of a Deployment, a namespace, a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a Service may have this name: some releases of Kubernetes require RFC 1035,
    /// where the first character is a letter.
    pub fn is_for_service(&self) -> bool {
        self.0.starts_with(|c: char| c.is_ascii_lowercase())
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match is_label(text) {
            true => Ok(Name(text.to_owned())),
            false => Err(format!(
                "expected a name by RFC 1123: 1 to 63 lower case letters, digits and -, \
                 with a letter or digit at both ends{}",
                similar(text)
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn similar(text: &str) -> String {
    let plain: String = (text.to_lowercase().chars())
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let parts: Vec<_> = plain.split('-').filter(|part| !part.is_empty()).collect();
    let similar: String = parts.join("-").chars().take(63).collect();
    let similar = similar.trim_end_matches('-');
    match is_label(similar) {
        true => format!("; such as {similar}"),
        false => String::new(),
    }
}

pub fn is_label(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.len() <= 63
        && !text.is_empty()
        && text.chars().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A subdomain by RFC 1123: the name of a Secret, a StorageClass and most other objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName(String);

impl ObjectName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match is_subdomain(text) {
            true => Ok(ObjectName(text.to_owned())),
            false => Err(
                "expected a name by RFC 1123: at most 253 lower case letters, digits, - and ., \
                 with a letter or digit at both ends of each part"
                    .to_owned(),
            ),
        }
    }
}

pub fn is_subdomain(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty()
            && part.chars().all(is_inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

/// A quantity of Kubernetes, such as `100m`, `256Mi` or `1.5Gi`; not negative.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    text: String,
    value: f64,
}

impl Quantity {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn value(&self) -> f64 {
        self.value
    }

    /// A quantity of memory or storage: `500m` would be half a byte.
    pub fn bytes(text: &str) -> Result<Self, String> {
        let quantity: Quantity = text.parse()?;
        match quantity.value >= 1.0 && !text.ends_with(['m', 'u', 'n']) {
            true => Ok(quantity),
            false => Err(format!(
                "expected bytes, such as 256Mi or 1Gi; {text} is less than one"
            )),
        }
    }

    /// A quantity of processors, in steps of 1m.
    pub fn cpu(text: &str) -> Result<Self, String> {
        let quantity: Quantity = text.parse()?;
        let milli = quantity.value * 1000.0;
        let is_whole = (milli - milli.round()).abs() < 1e-6;
        match milli >= 1.0 && is_whole && quantity.value <= 1024.0 {
            true => Ok(quantity),
            false => Err(format!(
                "expected processors, such as 100m or 2, found {text}"
            )),
        }
    }
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a quantity such as 100m, 2, 256Mi or 1.5Gi".to_owned();
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let factor = match suffix {
            "" => 1.0,
            "n" => 1e-9,
            "u" => 1e-6,
            "m" => 1e-3,
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "P" => 1e15,
            "E" => 1e18,
            "Ki" => f64::from(1 << 10),
            "Mi" => f64::from(1 << 20),
            "Gi" => f64::from(1 << 30),
            "Ti" => (1_u64 << 40) as f64,
            "Pi" => (1_u64 << 50) as f64,
            "Ei" => (1_u64 << 60) as f64,
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E']).ok_or_else(wrong)?;
                let exponent: i32 = exponent.parse().map_err(|_| wrong())?;
                match (-9..=18).contains(&exponent) {
                    true => 10_f64.powi(exponent),
                    false => return Err(wrong()),
                }
            }
        };
        Ok(Quantity {
            text: text.to_owned(),
            value: number * factor,
        })
    }
}

/// The name of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket(String);

impl Bucket {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Bucket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match is_subdomain(text) && (3..=63).contains(&text.len()) {
            true => Ok(Bucket(text.to_owned())),
            false => {
                Err("expected a bucket: 3 to 63 lower case letters, digits, - and .".to_owned())
            }
        }
    }
}

/// An absolute path in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(String);

impl Folder {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Folder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let has_parent = text.split('/').any(|part| part == "..");
        match text.starts_with('/') && text.len() > 1 && text.chars().all(is_plain) && !has_parent {
            true => Ok(Folder(text.to_owned())),
            false => Err("expected an absolute path in the container, such as /state".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1123() {
        let long = "x".repeat(63);
        for good in ["a", "1st-app", "my-app", "a--b", &long] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let too_long = "x".repeat(64);
        for wrong in [
            "", "-a", "a-", "A", "a.b", "a_b", "a b", "ä", "a\n", &too_long,
        ] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong:?}");
        }
        let error = "My App/..".parse::<Name>().unwrap_err();
        assert!(error.ends_with("such as my-app"), "{error}");
        assert!(!"1st".parse::<Name>().unwrap().is_for_service());
    }

    #[test]
    fn quantities_follow_the_grammar_of_kubernetes() {
        for (text, value) in [
            ("1", 1.0),
            ("100m", 0.1),
            ("1.5Gi", 1.5 * 1024.0 * 1024.0 * 1024.0),
            ("2k", 2000.0),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            (".5", 0.5),
            ("5.", 5.0),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert!((quantity.value() - value).abs() < 1e-9, "{text}");
        }
        for wrong in [
            "", "m", "1.2.3", "1Kb", "1 Gi", "-1", "1e99", "1e", "NaN", "1KiB", "+",
        ] {
            assert!(wrong.parse::<Quantity>().is_err(), "{wrong:?}");
        }
        assert!(Quantity::bytes("500m").is_err() && Quantity::bytes("0").is_err());
        assert!(Quantity::bytes("256Mi").is_ok());
        assert!(Quantity::cpu("0.5m").is_err() && Quantity::cpu("0").is_err());
        assert!(Quantity::cpu("1Gi").is_err(), "memory given as processors");
        assert!(Quantity::cpu("0.1").is_ok());
    }

    #[test]
    fn buckets_and_folders_are_checked() {
        assert!("my-bucket.v1".parse::<Bucket>().is_ok());
        for wrong in ["ab", "My", "a_b", "a..b"] {
            assert!(wrong.parse::<Bucket>().is_err(), "{wrong}");
        }
        assert!("/state".parse::<Folder>().is_ok());
        for wrong in ["state", "/", "", "/a/../b", "/a:b", "/a b", "/a\n"] {
            assert!(wrong.parse::<Folder>().is_err(), "{wrong:?}");
        }
    }
}
