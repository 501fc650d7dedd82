//! The encoding of messages of Yjs (lib0): numbers of seven bits a byte, the lowest first, and bytes with their length before them.

/// A message that ends too early, or a number that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Reads a message.
pub(super) struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A number.
    pub(super) fn number(&mut self) -> Result<u64, Broken> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first().ok_or(Broken)?;
            self.0 = rest;
            let bits = u64::from(first & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Broken);
            }
            number |= bits << shift;
            if first & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Broken)
    }

    /// Bytes with their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let length = usize::try_from(self.number()?).map_err(|_| Broken)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// What is left.
    #[cfg(test)]
    fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// Writes a number.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes bytes with their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_read_back() {
        for number in [0, 1, 127, 128, 300, 1 << 32, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_bytes(&mut out, b"abc");
            let mut reading = Reading::new(&out);
            assert_eq!((reading.number(), reading.bytes()), (Ok(number), Ok(&b"abc"[..])));
            assert!(reading.rest().is_empty());
            let mut short = Reading::new(&out[..out.len() - 1]);
            assert!(short.number().is_ok() && short.bytes().is_err());
        }
        assert_eq!(Reading::new(&[0xff; 11]).number(), Err(Broken));
        assert_eq!(Reading::new(&[0x80]).number(), Err(Broken));
        let mut golden = Vec::new();
        put_number(&mut golden, 300);
        assert_eq!(golden, [0xac, 2]);
    }
}
