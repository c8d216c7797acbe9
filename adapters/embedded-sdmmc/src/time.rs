//! Times of FAT, which are taken as UTC.

/// Days from 1970-01-01 to 1980-01-01, where FAT begins.
const DAYS_BEFORE: u64 = 3_652;

/// A date and a time of day in steps of two seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DosTime {
    pub date: u16,
    pub time: u16,
}

impl DosTime {
    /// Seconds since 1970-01-01; `None` for what is no time, and for the very first one, which devices without a clock write.
    pub fn unix_time(self) -> Option<u64> {
        let (year, month, day) = (u64::from(self.date >> 9), self.date >> 5 & 0xf, self.date & 0x1f);
        let (hour, minute, second) = (self.time >> 11, self.time >> 5 & 0x3f, (self.time & 0x1f) * 2);
        let month_index = usize::from(month).checked_sub(1)?;
        // 2100 is the only year of FAT's that looks like a leap year and is none.
        let is_leap = year % 4 == 0 && year != 120;
        let days_of = |month: usize| match month {
            1 => 28 + u64::from(is_leap),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if month > 12 || day == 0 || u64::from(day) > days_of(month_index) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let leap_days = year.div_ceil(4) - u64::from(year > 120);
        let days = year * 365 + leap_days + (0..month_index).map(days_of).sum::<u64>() + u64::from(day) - 1;
        let seconds = u64::from(hour) * 3_600 + u64::from(minute) * 60 + u64::from(second);
        (days > 0 || seconds > 0).then_some((DAYS_BEFORE + days) * 86_400 + seconds)
    }

    /// A time, with hundredths of a second, that stands for a number below 2^38.
    #[cfg(feature = "write")]
    pub fn numbered(number: u64) -> (Self, u8) {
        let mut rest = number;
        let mut digit = |base: u64| {
            let digit = rest % base;
            rest /= base;
            u16::try_from(digit).unwrap_or(0)
        };
        let hundredths = digit(200);
        let time = digit(30) | digit(60) << 5 | digit(24) << 11;
        let date = (digit(28) + 1) | (digit(12) + 1) << 5 | digit(128) << 9;
        (Self { date, time }, u8::try_from(hundredths).unwrap_or(0))
    }

    /// The time nearest to this many seconds since 1970-01-01.
    #[cfg(feature = "write")]
    pub fn from_unix_time(seconds: u64) -> Self {
        let (mut days, seconds) = ((seconds / 86_400).saturating_sub(DAYS_BEFORE), seconds % 86_400);
        let (mut year, mut month): (u64, u64) = (0, 1);
        let is_leap = |year: u64| year.is_multiple_of(4) && year != 120;
        while let len = 365 + u64::from(is_leap(year))
            && days >= len
            && year < 127
        {
            days -= len;
            year += 1;
        }
        let days_of = |month: u64| match month {
            2 => 28 + u64::from(is_leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        while days >= days_of(month) && month < 12 {
            days -= days_of(month);
            month += 1;
        }
        let date = year << 9 | month << 5 | (days.min(30) + 1);
        let time = ((seconds / 3_600) << 11) | ((seconds % 3_600 / 60) << 5) | (seconds % 60 / 2);
        Self { date: u16::try_from(date).unwrap_or(u16::MAX), time: u16::try_from(time).unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::DosTime;

    const fn at(year: u16, month: u16, day: u16, hour: u16, minute: u16, second: u16) -> DosTime {
        DosTime { date: (year - 1980) << 9 | month << 5 | day, time: hour << 11 | minute << 5 | (second / 2) }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        // By `date -u -d '…' +%s`.
        for (time, expected) in [
            (at(1980, 1, 1, 0, 0, 0), None),
            (at(1980, 1, 1, 0, 0, 2), Some(315_532_802)),
            (at(1980, 3, 1, 0, 0, 0), Some(320_716_800)),
            (at(1999, 12, 31, 23, 59, 58), Some(946_684_798)),
            (at(2000, 2, 29, 12, 0, 0), Some(951_825_600)),
            (at(2026, 11, 29, 14, 30, 0), Some(1_795_962_600)),
            (at(2100, 2, 28, 0, 0, 0), Some(4_107_456_000)),
            (at(2100, 3, 1, 0, 0, 0), Some(4_107_542_400)),
            (at(2107, 12, 31, 23, 59, 58), Some(4_354_819_198)),
        ] {
            assert_eq!(time.unix_time(), expected, "{time:?}");
            #[cfg(feature = "write")]
            assert_eq!(expected.map_or(time, DosTime::from_unix_time), time);
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for time in [
            DosTime { date: 0, time: 0 },
            DosTime { date: 0xffff, time: 0xffff },
            at(2100, 2, 29, 0, 0, 0),
            at(2001, 2, 29, 0, 0, 0),
            at(2001, 4, 31, 0, 0, 0),
            at(2001, 13, 1, 0, 0, 0),
            at(2001, 1, 1, 24, 0, 0),
            at(2001, 1, 1, 0, 60, 0),
            at(2001, 1, 1, 0, 0, 60),
        ] {
            assert_eq!(time.unix_time(), None, "{time:?}");
        }
    }
}
