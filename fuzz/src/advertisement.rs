//! A server's advertisement is read alike however it arrives, is consistent, and is the same after it is written and read again.

use std::collections::HashSet;

use git_wire::oid::{ObjectFormat, Oid};
use git_wire::pkt_line::{MAX_PAYLOAD, Packet, PacketReader, encode, encode_flush};
use git_wire::send_pack::{Advertisement, Command, Request, WireError};
use push_engine::failure::Failure;

use super::report_status::assert_clean;
use super::stream::{ARRIVALS, Arrival, run, wire};

/// The input is the advertisement of a server, encoded by [`wire`].
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    let sent = wire(input);
    let first = read(ARRIVALS[0], &sent);
    for arrival in &ARRIVALS[1..] {
        let other = read(*arrival, &sent);
        match (&first, &other) {
            (Ok(one), Ok(other)) => assert_eq!(one, other, "{arrival:?}"),
            // The messages of protocol errors quote only the bytes that have arrived.
            (Err(WireError::Protocol(_)), Err(WireError::Protocol(_))) => {}
            (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string(), "{arrival:?}"),
            _ => panic!("{first:?} and, for {arrival:?}, {other:?}"),
        }
    }
    match first {
        Ok(advertisement) => {
            assert_consistent(&advertisement);
            assert_survives_rewriting(&advertisement);
            assert_request_is_valid(&advertisement);
        }
        Err(WireError::Remote(message)) => assert_clean(&Failure::from_server_message(&message)),
        Err(WireError::Protocol(message)) => assert!(message.len() < 100_000, "{message}"),
        Err(WireError::UnexpectedEof { .. }) => {}
        Err(other) => panic!("{other:?} cannot be"),
    }
}

fn read(arrival: Arrival, bytes: &[u8]) -> Result<Advertisement, WireError> {
    run(Advertisement::read(&mut PacketReader::new(arrival.of(bytes))))
}

fn assert_consistent(advertisement: &Advertisement) {
    let tips: Vec<Oid> = advertisement.tips().collect();
    let distinct: HashSet<Oid> = tips.iter().copied().collect();
    assert_eq!(tips.len(), distinct.len(), "each tip once");
    assert!(!distinct.contains(&Oid::zero(ObjectFormat::Sha1)));
    for (oid, name) in advertisement.refs() {
        assert!(distinct.contains(oid), "{name} is among the tips");
        assert!(advertisement.tip(name).is_some());
    }
    for capability in advertisement.capabilities() {
        let name = capability.split('=').next().unwrap_or_default();
        assert!(advertisement.supports(name) || name.is_empty(), "{capability}");
    }
    let mut moved = advertisement.clone();
    let new = Oid::sha1([7; 20]);
    moved.move_tip("refs/heads/main", new);
    assert_eq!(moved.tip("refs/heads/main"), Some(new));
    assert_eq!(moved.tips().filter(|&tip| tip == new).count(), 1);
}

/// Asserts that an advertisement, written as a server does and read again, is the same. Of a ref whose name is not UTF-8,
/// only the id is kept.
fn assert_survives_rewriting(advertisement: &Advertisement) {
    let named: HashSet<Oid> = advertisement.refs().iter().map(|&(oid, _)| oid).collect();
    let refs = advertisement
        .refs()
        .iter()
        .map(|(oid, name)| format!("{oid} {name}"));
    let borrowed = advertisement
        .tips()
        .filter(|tip| !named.contains(tip))
        .map(|tip| format!("{tip} .have"));
    let shallow = advertisement.shallow().iter().map(|oid| format!("shallow {oid}"));
    let format = advertisement.object_format().unwrap_or(ObjectFormat::Sha1);
    let mut lines = vec![format!("{} capabilities^{{}}", Oid::zero(format))];
    lines.extend(refs.chain(borrowed).chain(shallow));
    let capabilities = advertisement.capabilities().join(" ");
    lines[0] = format!("{}\0{capabilities}", lines[0]);
    let mut bytes = Vec::new();
    for line in &lines {
        if line.len() >= MAX_PAYLOAD {
            return;
        }
        encode(format!("{line}\n").as_bytes(), &mut bytes);
    }
    encode_flush(&mut bytes);
    let again = read(ARRIVALS[0], &bytes).expect("what was read can be written");
    assert_eq!(again.refs(), advertisement.refs());
    assert_eq!(again.capabilities(), advertisement.capabilities());
    assert_eq!(again.shallow(), advertisement.shallow());
    assert_eq!(
        again.tips().collect::<HashSet<_>>(),
        advertisement.tips().collect()
    );
}

/// Asserts that the request has the advertised value of the ref, and asks for no capability that was not offered.
fn assert_request_is_valid(advertisement: &Advertisement) {
    let (old, name) = match advertisement.refs().first() {
        Some((old, name)) => (Some(*old), name.as_str()),
        None => (None, "refs/heads/main"),
    };
    let format = advertisement.object_format().unwrap_or(ObjectFormat::Sha1);
    let new = Oid::from_bytes(&[7; 32][..format.id_length()]).expect("an id");
    let Ok(command) = Command::new(name, old, new) else {
        return;
    };
    let request = Request {
        advertisement,
        command: &command,
        shallow: advertisement.shallow(),
        agent: "git/1",
    };
    let request = request.encode();
    let mut reader = PacketReader::new(&request[..]);
    for expected in advertisement.shallow() {
        let line = format!("shallow {expected}");
        assert_eq!(next(&mut reader), Some(Packet::Data(line.into_bytes().into())));
    }
    let Some(Packet::Data(line)) = next(&mut reader) else {
        panic!("a command was expected");
    };
    let line = std::str::from_utf8(&line).expect("names are UTF-8");
    let (update, asked) = line.split_once('\0').expect("capabilities follow");
    assert_eq!(
        update,
        format!("{} {new} {name}", old.unwrap_or(Oid::zero(format)))
    );
    for capability in asked.split_ascii_whitespace() {
        let capability = capability.split('=').next().unwrap_or_default();
        assert!(advertisement.supports(capability), "{capability} was not offered");
    }
    assert_eq!(next(&mut reader), Some(Packet::Flush));
    assert_eq!(next(&mut reader), None);
}

fn next(reader: &mut PacketReader<&[u8]>) -> Option<Packet> {
    run(reader.read()).expect("the request consists of packets")
}
