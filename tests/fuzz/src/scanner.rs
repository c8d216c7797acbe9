//! Target: the scanner.

use coracle_core::{ScanError, Scanned, Scanner};

use crate::{judge, pieces};

/// It passes exactly the JSON objects of at most 8 levels; what follows one does not matter; any split gives the same result;
/// after a result there is only `Syntax`.
pub fn target(data: &[u8]) {
    let Some((seed, input)) = data.split_first() else { return };
    let whole = answer(&[input]);
    assert_eq!(answer(&pieces(input, *seed)), whole, "split");
    match whole {
        Ok(Some(len)) => {
            let object = &input[..len];
            assert!(judge::is_object(object) && judge::depth(object) <= usize::from(Scanner::MAX_DEPTH), "passed");
        }
        Ok(None) => assert!(!judge::is_object(input), "not seen to be complete"),
        Err(ScanError::Depth) => {}
        Err(_) => assert!(!judge::is_object(input), "refused"),
    }
}

/// The length of the object in all of the pieces.
fn answer(pieces: &[&[u8]]) -> Result<Option<usize>, ScanError> {
    let mut scanner = Scanner::new();
    let mut before = 0;
    for piece in pieces {
        let answer = scanner.scan(piece);
        if answer != Ok(Scanned::More) {
            assert_eq!(scanner.scan(b"{}"), Err(ScanError::Syntax), "an answer behind the last");
        }
        match answer? {
            Scanned::More => before += piece.len(),
            Scanned::Complete { len } => return Ok(Some(before + len)),
        }
    }
    Ok(None)
}
