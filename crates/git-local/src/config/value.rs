//! Values as git's bools and numbers.

/// git's bool; `None` if git would refuse the value. A key without a value is true, an empty value false.
pub(super) fn parse_bool(value: Option<&str>) -> Option<bool> {
    let Some(value) = value else {
        return Some(true);
    };
    let is_one_of = |words: [&str; 3]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is_one_of(["true", "yes", "on"]) {
        Some(true)
    } else if value.is_empty() || is_one_of(["false", "no", "off"]) {
        Some(false)
    } else {
        let number = i32::try_from(parse_int(value)?).ok()?;
        Some(number != 0)
    }
}

/// git's integer: C's notation (`0x` hexadecimal, a leading 0 octal) with a suffix k, m or g.
pub(super) fn parse_int(value: &str) -> Option<i64> {
    let text = value.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (is_negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, text) = match text.as_bytes() {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, &text[2..]),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let end = text.find(|c: char| !c.is_digit(radix)).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let factor = match suffix {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let signed = if is_negative { -magnitude } else { magnitude };
    i64::try_from(signed * factor).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bools_are_read_as_git_reads_them() {
        for (value, expected) in [
            (None, Some(true)),
            (Some(""), Some(false)),
            (Some("TRUE"), Some(true)),
            (Some("On"), Some(true)),
            (Some("no"), Some(false)),
            (Some("0"), Some(false)),
            (Some("-1"), Some(true)),
            (Some("1k"), Some(true)),
            (Some("3g"), None),
            (Some("maybe"), None),
            (Some(" true"), None),
        ] {
            assert_eq!(parse_bool(value), expected, "{value:?}");
        }
    }

    #[test]
    fn integers_have_cs_notation_and_a_suffix() {
        for (value, expected) in [
            ("10", Some(10)),
            ("+1k", Some(1024)),
            ("-2M", Some(-2 << 20)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("9g", Some(9 << 30)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775807k", None),
            ("", None),
            ("k", None),
            ("1 k", None),
            ("1.5", None),
            ("08", None),
        ] {
            assert_eq!(parse_int(value), expected, "{value:?}");
        }
    }
}
