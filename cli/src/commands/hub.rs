//! Options about checkpoints that are downloaded.

use clap::Args;

use crate::hub::Hub;

/// Options about checkpoints that are downloaded.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Downloads")]
pub(super) struct HubArguments {
    /// Bytes on disk that checkpoints downloaded by this command (hf://ORG/NAME@REVISION) may take, such
    /// as 40GB: those that are scored are removed to make room for the next. Other files are never
    /// removed [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    disk_budget: Option<u64>,
}

impl HubArguments {
    pub(super) fn hub(&self) -> Hub {
        Hub::new(self.disk_budget)
    }
}

/// A number of bytes, in units of a thousand as disks are sold (`GB`) or of 1,024 (`GiB`).
fn bytes(text: &str) -> Result<u64, String> {
    let refused = || format!("`{text}` is not a size such as 40GB, 500MB or 1.5TiB");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        _ => return Err(refused()),
    };
    let number: f64 = number.parse().map_err(|_| refused())?;
    // The cast saturates.
    Ok((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("40GB", 40_000_000_000),
            ("1.5 MiB", 1_572_864),
            ("7", 7),
            ("2kb", 2_000),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "GB", "-1GB", "4 parsecs", "1e3", "1.2.3"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
