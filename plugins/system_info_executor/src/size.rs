//! Byte counts for people, as the usual command line tools write them. Called by the figures in the crate root.

/// As `free -h` writes it: `31Gi`.
pub fn binary(bytes: u64) -> String {
    let short = short(bytes);
    if short.ends_with('B') { short } else { format!("{short}i") }
}

/// As `df -h` writes it: one digit after the point below 10, rounded up, none above: `9.5G`, `98G`.
pub fn short(bytes: u64) -> String {
    let (mut unit, mut size) = (0, 1_u64);
    while unit < UNITS.len() - 1 && bytes / size >= 1024 {
        size *= 1024;
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(size));
    match tenths {
        _ if unit == 0 => format!("{bytes}B"),
        whole if whole % 10 == 0 || whole > 100 => format!("{}{}", whole.div_ceil(10), UNITS[unit]),
        _ => format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// In GiB with two digits after the point.
pub fn gib(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1 << 30) * 100.0).round() / 100.0
}

/// Whole percent, rounded up as `df` does; `0%` of nothing.
pub fn percent(part: u64, whole: u64) -> String {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole)).unwrap_or(0);
    let exact = percent * u128::from(whole) == u128::from(part) * 100;
    format!("{}%", percent + u128::from(!exact))
}

const UNITS: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(short(0), "0B");
        assert_eq!(short(1023), "1023B");
        assert_eq!(short(1024), "1K");
        assert_eq!(short((95 << 30) / 10), "9.5G");
        assert_eq!(short((98 << 30) - 1), "98G");
        assert_eq!(short(u64::MAX), "16E");
        assert_eq!(binary(31 << 30), "31Gi");
        assert_eq!(binary(12), "12B");
    }

    #[test]
    fn gib_and_percent() {
        assert_eq!(gib(33_567_485_952), 31.26);
        assert_eq!(percent(1, 3), "34%");
        assert_eq!(percent(1, 2), "50%");
        assert_eq!(percent(0, 0), "0%");
    }
}
