//! git's delta format (`gitformat-pack`, "Deltified representation"): a target as copies from a base and
//! new bytes.
//!
//! The encoder takes linear time, and memory of half the base at most. It looks for equal runs of 16 bytes, so it misses
//! shorter ones: it is made for a record or a directory in which little changed.

/// Objects above this size are sent whole: both sides of a delta are held in memory.
pub(super) const MAX_SIZE: usize = 32 * 1024 * 1024;

const BLOCK: usize = 16;
const STRETCH: usize = 256;
/// The longest copy in one instruction that git itself writes.
const MAX_COPY: usize = 0x1_0000;
const MAX_INSERT: usize = 0x7f;

/// Encodes `target` as a delta against `base`; `None` if that would not be smaller than the target, or one of the two is too
/// large.
pub(super) fn encode(base: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    if base.len() > MAX_SIZE || target.len() > MAX_SIZE {
        return None;
    }
    let mut delta = Delta {
        bytes: Vec::new(),
        limit: target.len(),
    };
    delta.size(base.len());
    delta.size(target.len());

    let prefix = whole_blocks_only(common_prefix(base, target));
    let suffix = whole_blocks_only(common_suffix(&base[prefix..], &target[prefix..]));
    let end = target.len() - suffix;
    delta.copy(0, prefix);
    let mut literal = prefix;
    if end - prefix >= BLOCK {
        let index = Index::new(base);
        let mut at = prefix;
        while let Some(block) = target[at..end].first_chunk() {
            let Some(found) = index.find(base, block) else {
                at += 1;
                continue;
            };
            let before = common_suffix(&base[..found], &target[literal..at]);
            let after = common_prefix(&base[found..], &target[at..end]);
            delta.insert(&target[literal..at - before]);
            delta.copy(found - before, before + after);
            if delta.is_too_large() {
                return None;
            }
            at += after;
            literal = at;
        }
    }
    delta.insert(&target[literal..end]);
    delta.copy(base.len() - suffix, suffix);
    (!delta.is_too_large()).then_some(delta.bytes)
}

/// A run shorter than a block costs about as much to copy as to insert.
const fn whole_blocks_only(length: usize) -> usize {
    if length < BLOCK { 0 } else { length }
}

struct Delta {
    bytes: Vec<u8>,
    limit: usize,
}

impl Delta {
    fn is_too_large(&self) -> bool {
        self.bytes.len() >= self.limit
    }

    fn size(&mut self, mut size: usize) {
        while size > 0x7f {
            self.bytes.push(low_byte(size) | 0x80);
            size >>= 7;
        }
        self.bytes.push(low_byte(size));
    }

    fn insert(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(MAX_INSERT) {
            self.bytes.push(low_byte(chunk.len()));
            self.bytes.extend_from_slice(chunk);
        }
    }

    fn copy(&mut self, mut offset: usize, mut length: usize) {
        while length > 0 {
            let step = length.min(MAX_COPY);
            let at = self.bytes.len();
            let mut instruction = 0x80;
            self.bytes.push(instruction);
            // Zero bytes are left out, and a size of zero stands for the longest.
            let size = if step == MAX_COPY { 0 } else { step };
            for (bit, byte) in (0..4)
                .map(|place| low_byte(offset >> (8 * place)))
                .chain((0..2).map(|place| low_byte(size >> (8 * place))))
                .enumerate()
            {
                if byte != 0 {
                    instruction |= 1 << bit;
                    self.bytes.push(byte);
                }
            }
            self.bytes[at] = instruction;
            offset += step;
            length -= step;
        }
    }
}

const fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

/// Where in the base each block of 16 bytes is. Of blocks that are equal, or whose hashes collide, only the first is kept: that
/// bounds the time, at the price of a missed copy.
struct Index {
    /// Number of the block plus one; zero where there is none.
    slots: Vec<u32>,
    shift: u32,
}

impl Index {
    fn new(base: &[u8]) -> Self {
        let blocks = base.len() / BLOCK;
        let bits = blocks.max(1).next_power_of_two().trailing_zeros().max(1);
        let mut index = Self {
            slots: vec![0; 1 << bits],
            shift: u64::BITS - bits,
        };
        for (number, block) in (1_u32..).zip(base.as_chunks::<BLOCK>().0) {
            let slot = &mut index.slots[slot_of(block, index.shift)];
            if *slot == 0 {
                *slot = number;
            }
        }
        index
    }

    fn find(&self, base: &[u8], block: &[u8; BLOCK]) -> Option<usize> {
        let number = self.slots[slot_of(block, self.shift)].checked_sub(1)?;
        let at = number as usize * BLOCK;
        (base[at..at + BLOCK] == *block).then_some(at)
    }
}

fn slot_of(block: &[u8; BLOCK], shift: u32) -> usize {
    // Odd constants with well-mixed bits; the high bits of a product depend on all of its input.
    let value = u128::from_le_bytes(*block);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the block")]
    let (low, high) = (value as u64, (value >> 64) as u64);
    let hash = (low.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high)
        .rotate_left(29)
        .wrapping_mul(0xd6e8_feb8_6659_fd93);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 21 bits are left: MAX_SIZE in blocks"
    )]
    let slot = (hash >> shift) as usize;
    slot
}

/// The length of the equal part at the start. Stretches compare much faster than single bytes.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let stretches = a.chunks_exact(STRETCH).zip(b.chunks_exact(STRETCH));
    let start = STRETCH * stretches.take_while(|(a, b)| a == b).count();
    let bytes = a[start..].iter().zip(&b[start..]);
    start + bytes.take_while(|(a, b)| a == b).count()
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let stretches = a.rchunks_exact(STRETCH).zip(b.rchunks_exact(STRETCH));
    let end = STRETCH * stretches.take_while(|(a, b)| a == b).count();
    let bytes = a[..a.len() - end]
        .iter()
        .rev()
        .zip(b[..b.len() - end].iter().rev());
    end + bytes.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The inverse, from the format's description.
    fn apply(base: &[u8], delta: &[u8]) -> Vec<u8> {
        let mut bytes = delta.iter().copied();
        let mut size = || {
            let mut size = 0;
            for shift in (0..).step_by(7) {
                let byte = bytes.next().expect("a size");
                size |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            size
        };
        assert_eq!(size(), base.len());
        let target_size = size();
        let mut target = Vec::new();
        while let Some(instruction) = bytes.next() {
            if instruction & 0x80 == 0 {
                assert_ne!(instruction, 0, "reserved");
                target.extend(bytes.by_ref().take(instruction.into()));
                continue;
            }
            let mut field = |from: u32, count: u32| -> usize {
                (0..count)
                    .filter(|place| instruction & (1 << (from + place)) != 0)
                    .map(|place| usize::from(bytes.next().expect("a byte")) << (8 * place))
                    .sum()
            };
            let offset = field(0, 4);
            let size = match field(4, 3) {
                0 => 0x1_0000,
                size => size,
            };
            target.extend_from_slice(&base[offset..offset + size]);
        }
        assert_eq!(target.len(), target_size);
        target
    }

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(|| random.u8(..)).take(length).collect()
    }

    #[test]
    fn one_changed_byte_in_a_large_object_costs_little() {
        let base = noise(1_000_000, 1);
        for at in [0, 500_000, 999_999] {
            let mut target = base.clone();
            target[at] ^= 1;
            let delta = encode(&base, &target).expect("smaller");
            assert!(delta.len() < 150, "{}", delta.len());
            assert_eq!(apply(&base, &delta), target);
        }
    }

    #[test]
    fn what_moved_within_a_small_part_of_a_large_object_is_copied() {
        let base = noise(1_000_000, 1);
        let mut target = base.clone();
        target[500_000..520_000].rotate_left(7_001);
        let delta = encode(&base, &target).expect("smaller");
        assert!(delta.len() < 200, "{}", delta.len());
        assert_eq!(apply(&base, &delta), target);
    }

    #[test]
    fn moved_and_repeated_parts_are_copied() {
        let (a, b) = (noise(5_000, 1), noise(70_000, 2));
        let base = [&a[..], &b].concat();
        let target = [&b[..], b"something new", &a, &a, &b].concat();
        let delta = encode(&base, &target).expect("smaller");
        assert!(delta.len() < 200, "{}", delta.len());
        assert_eq!(apply(&base, &delta), target);
    }

    #[test]
    fn what_would_not_be_smaller_is_no_delta() {
        for (base, target) in [
            (&b""[..], &b""[..]),
            (b"", b"target"),
            (b"base", b""),
            (b"some base", b"and some target that has nothing of it"),
        ] {
            assert_eq!(encode(base, target), None);
        }
        assert_eq!(encode(&noise(10_000, 1), &noise(10_000, 2)), None);
    }

    #[test]
    fn too_large_objects_are_no_delta() {
        let large = vec![0; MAX_SIZE + 1];
        assert_eq!(encode(&large, &large[1..]), None);
        assert_eq!(encode(&large[1..], &large), None);
        assert!(encode(&large[1..], &large[2..]).is_some());
    }

    #[test]
    fn a_target_of_equal_bytes_takes_linear_time() {
        let base = vec![0; 4 * 1024 * 1024];
        let mut target = vec![0; 8 * 1024 * 1024];
        target[0] = 1;
        let delta = encode(&base, &target).expect("smaller");
        assert_eq!(apply(&base, &delta), target);
    }

    /// A base, and a target that is pieces of it and other bytes. Few different byte values make for many
    /// accidental matches.
    fn related() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        (1_u8..=255, 0_usize..200_000, any::<u64>(), 0_usize..12).prop_map(
            |(values, length, seed, pieces)| {
                let mut random = fastrand::Rng::with_seed(seed);
                let base: Vec<u8> = std::iter::repeat_with(|| random.u8(0..values))
                    .take(length)
                    .collect();
                let mut target = Vec::new();
                for _ in 0..pieces {
                    if random.bool() && !base.is_empty() {
                        let from = random.usize(0..base.len());
                        let to = random.usize(from..=base.len());
                        target.extend_from_slice(&base[from..to]);
                    } else {
                        let count = random.usize(0..300);
                        target.extend(std::iter::repeat_with(|| random.u8(0..values)).take(count));
                    }
                }
                (base, target)
            },
        )
    }

    /// A large base, and a target with a few small edits close to each other.
    fn edited() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        (any::<u64>(), 60_000..250_000_usize, 1_usize..6).prop_map(|(seed, length, edits)| {
            let mut random = fastrand::Rng::with_seed(seed);
            let base = noise(length, seed);
            let mut target = base.clone();
            let around = random.usize(0..length);
            for _ in 0..edits {
                let from = (around + random.usize(0..1000)).min(target.len());
                let to = (from + random.usize(0..100)).min(target.len());
                let (count, other) = (random.usize(0..100), random.u64(..));
                target.splice(from..to, noise(count, other));
            }
            (base, target)
        })
    }

    proptest! {
        #[test]
        fn edits_of_a_large_object_give_a_small_delta((base, target) in edited()) {
            let delta = encode(&base, &target).expect("smaller");
            prop_assert!(delta.len() < 2_000, "{}", delta.len());
            prop_assert_eq!(apply(&base, &delta), target);
        }

        #[test]
        fn every_delta_gives_its_target_and_is_smaller((base, target) in related()) {
            if let Some(delta) = encode(&base, &target) {
                prop_assert!(delta.len() < target.len());
                prop_assert_eq!(apply(&base, &delta), target);
            }
        }
    }
}
