//! Any bytes are a table or an error, and a lookup in a table returns the value that was written.

mod encode;

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};

use arbitrary::{Result, Unstructured};
use git_local::reftable::{Record, Table, Value};

use encode::{Layout, Version, Written, encode, seal};

/// The input is read three times: as a table, as a table whose header and footer are made valid, and as instructions for
/// writing a table.
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    let names = [
        &b""[..],
        b"HEAD",
        b"refs/heads/main",
        b"\xff",
        &input[..input.len().min(9)],
    ];
    if let Ok(mut table) = Table::open(Cursor::new(input)) {
        assert_lookups_end(&mut table, &names);
    }
    if let Some(sealed) = seal(input) {
        let mut table = Table::open(Cursor::new(sealed)).expect("header and footer are right");
        assert_lookups_end(&mut table, &names);
    }
    // An input that is used up yields zeros.
    let _ = assert_written_values_are_read(&mut Unstructured::new(input));
}

fn assert_lookups_end(table: &mut Table<impl Read + Seek>, names: &[&[u8]]) {
    for name in names {
        match table.find(name) {
            Ok(Some(Record::Value(Value::Id(id)))) => assert!([20, 32].contains(&id.len())),
            Ok(found) => assert!(found.is_none() || !name.is_empty(), "no ref has an empty name"),
            Err(error) => assert!(error.to_string().len() < 200, "{error}"),
        }
    }
}

fn assert_written_values_are_read(input: &mut Unstructured<'_>) -> Result<()> {
    let layout = layout(input)?;
    let mut records = BTreeMap::new();
    let mut name = Vec::new();
    for _ in 0..input.int_in_range(0..=200)? {
        // Names that share prefixes, as those of refs do.
        name.truncate(input.int_in_range(0..=name.len().min(60))?);
        let suffix: [u8; 4] = input.arbitrary()?;
        name.extend_from_slice(&suffix[..input.int_in_range(1..=4)?]);
        records.insert(name.clone(), written(input, layout.version.id_length())?);
    }
    let table = encode(&records, &layout, input.bytes(input.len().min(30))?);
    let mut table = Table::open(Cursor::new(table)).expect("a table");
    for name in records.keys() {
        let (shorter, longer) = (&name[..name.len() - 1], [name, &b"a"[..]].concat());
        for name in [&name[..], shorter, &longer] {
            let expected = records.get(name).map(Written::record);
            let found = table.find(name).expect("well-formed");
            assert_eq!(found, expected, "{name:x?} of {records:x?} in {layout:?}");
        }
    }
    assert_eq!(table.find(&[0xff; 900]).expect("well-formed"), None);
    Ok(())
}

fn layout(input: &mut Unstructured<'_>) -> Result<Layout> {
    Ok(Layout {
        version: *input.choose(&[Version::One, Version::TwoSha1, Version::TwoSha256])?,
        block_size: input.int_in_range(200..=1500)?,
        is_aligned: input.arbitrary()?,
        restart_interval: input.int_in_range(1..=20)?,
        root_blocks: input.int_in_range(1..=3)?,
    })
}

fn written(input: &mut Unstructured<'_>, id_length: usize) -> Result<Written> {
    let kind = input.int_in_range(0..=7)?;
    let byte: u8 = input.arbitrary()?;
    Ok(match kind {
        0 => Written::Deletion,
        1 => Written::Symbolic("refs/heads/ä".repeat(usize::from(byte % 4))),
        2 => Written::Peeled(
            (0..2 * id_length)
                .map(|at| byte ^ u8::from(at < id_length))
                .collect(),
        ),
        _ => Written::Id(vec![byte; id_length]),
    })
}
