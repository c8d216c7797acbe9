//! Decimal digits, and division of 64 bits without the compiler's routine, which takes 540 bytes on a 32-bit processor.

/// Writes `number` in decimal digits to the end of `digits`, and returns them.
pub(crate) fn decimal(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut rest = number;
    let mut start = digits.len();
    for (place, byte) in digits.iter_mut().enumerate().rev() {
        let (quotient, digit) = div_rem(rest, 10);
        *byte = b'0' | digit.to_le_bytes()[0];
        start = place;
        rest = quotient;
        if rest == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

/// The quotient and the remainder of `dividend` by `divisor`; if `divisor` is 0, the quotient is [`u64::MAX`].
#[inline(never)]
pub(crate) fn div_rem(dividend: u64, divisor: u32) -> (u64, u64) {
    match u32::try_from(dividend) {
        Ok(short) if divisor > 0 => ((short / divisor).into(), (short % divisor).into()),
        _ => long_division(dividend, divisor.into()),
    }
}

/// Divides bit by bit: slow, but only numbers of 4 GiB and more get here.
fn long_division(dividend: u64, divisor: u64) -> (u64, u64) {
    let (mut quotient, mut rest) = (dividend, 0);
    for _ in 0..u64::BITS {
        // `rest` is less than a divisor of 32 bits.
        rest = rest << 1 | quotient >> 63;
        quotient <<= 1;
        if rest >= divisor {
            rest -= divisor;
            quotient |= 1;
        }
    }
    (quotient, rest)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use proptest::prelude::*;

    use super::{decimal, div_rem, long_division};

    proptest! {
        #[test]
        fn divides_as_the_processor_does(dividend: u64, divisor in 1..=u32::MAX, shift in 0..64) {
            let dividend = dividend >> shift;
            let wide = u64::from(divisor);
            prop_assert_eq!(long_division(dividend, wide), (dividend / wide, dividend % wide));
            prop_assert_eq!(div_rem(dividend, divisor), (dividend / wide, dividend % wide));
        }

        #[test]
        fn decimal_digits_are_the_library_s(number: u64, shift in 0..64) {
            let number: u64 = number >> shift;
            let (mut digits, expected) = ([0; 20], number.to_string());
            prop_assert_eq!(decimal(number, &mut digits), expected.as_bytes());
        }
    }

    #[test]
    fn the_ends() {
        assert_eq!(div_rem(7, 0).0, u64::MAX);
        assert_eq!(div_rem(7, 2), (3, 1));
        assert_eq!(div_rem(u64::from(u32::MAX), 1), (u64::from(u32::MAX), 0));
        assert_eq!(div_rem(u64::from(u32::MAX) + 1, u32::MAX), (1, 1));
        assert_eq!(long_division(u64::MAX, 1), (u64::MAX, 0));
        assert_eq!(decimal(0, &mut [0; 20]), b"0");
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), b"18446744073709551615");
    }
}
