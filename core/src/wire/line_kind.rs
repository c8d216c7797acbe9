//! The kinds of lines that a server sends, and their templates.

/// A piece of a template, where offsets may be absolute.
#[cfg(feature = "absolute")]
macro_rules! absolute {
    ($text:literal) => {
        $text
    };
}

#[cfg(not(feature = "absolute"))]
macro_rules! absolute {
    ($text:literal) => {
        ""
    };
}

/// A piece of a template, where files that were replaced are kept.
#[cfg(feature = "replaced")]
macro_rules! replaced {
    ($text:literal) => {
        $text
    };
}

#[cfg(not(feature = "replaced"))]
macro_rules! replaced {
    ($text:literal) => {
        ""
    };
}

/// A piece of a template where there may be a `put`, or where there is none.
#[cfg(feature = "write")]
macro_rules! written {
    ($text:literal, $otherwise:literal) => {
        $text
    };
}

#[cfg(not(feature = "write"))]
macro_rules! written {
    ($text:literal, $otherwise:literal) => {
        $otherwise
    };
}

/// A piece of a template where a `put` may be durable later, or where each is at once.
#[cfg(feature = "sync")]
macro_rules! deferred {
    ($text:literal, $otherwise:literal) => {
        $text
    };
}

#[cfg(not(feature = "sync"))]
macro_rules! deferred {
    ($text:literal, $otherwise:literal) => {
        $otherwise
    };
}

/// What `hello` tells of files that are followed, behind the requests. With rights that is known only when it is asked.
#[cfg(feature = "rights")]
macro_rules! follow_words {
    () => {
        ""
    };
}

#[cfg(all(feature = "wait", not(feature = "rights")))]
macro_rules! follow_words {
    () => {
        concat!(r#"(Z,"wait")"#, absolute!(r#"(Y,"absolute")"#))
    };
}

#[cfg(not(any(feature = "wait", feature = "rights")))]
macro_rules! follow_words {
    () => {
        absolute!(r#"(Y,"absolute")"#)
    };
}

/// Kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    Hello,
    /// A file's header; of a `put`, that the server is ready for its body.
    Header,
    FileEntry,
    DirectoryEntry,
    /// A link to a directory.
    LinkEntry,
    /// Of a body that was sent, of one that was stored, or of a change.
    BodyEnd,
    ListEnd,
    Error,
    /// A space before a line.
    Heartbeat,
    /// The response to `space`.
    #[cfg(feature = "manage")]
    Space,
    /// The classic response to a select.
    #[cfg(feature = "classic")]
    ClassicFile,
    /// The same where the select failed.
    #[cfg(feature = "classic")]
    ClassicNoFile,
    /// The beginning, the middle and the end of the classic list.
    #[cfg(feature = "classic")]
    ClassicList,
    #[cfg(feature = "classic")]
    ClassicFirstEntry,
    #[cfg(feature = "classic")]
    ClassicEntry,
    #[cfg(feature = "classic")]
    ClassicListEnd,
}

impl LineKind {
    /// The template of the line: `$x` is replaced by the value `x` (see `ResponseContext::value`); text between `(x` and `)`
    /// is left out where `x` has no value.
    pub(super) const fn template(self) -> &'static str {
        match self {
            Self::Hello => HELLO,
            Self::Header => concat!(
                written!(r#"{"type":"(Wready)(Vfile)""#, r#"{"type":"file""#),
                r#","fileName":"$f","fileSize":$z,"offset":$o,"length":$l,"chunkSize":$b"#,
                written!("(V", ""),
                r#","readCnt":$c,"lastSize":$t,"version":"$v","digest":"$d""#,
                written!(")", ""),
                absolute!(r#"(P,"first":$P)"#),
                replaced!(r#"(O,"next":"$O")"#),
                r#"(m,"modified":$m)(y,"$k":"$x")}"#,
                "\n"
            ),
            Self::FileEntry => concat!(r#"{"type":"entry","fileName":"$f","fileSize":$z(m,"modified":$m)}"#, "\n"),
            Self::DirectoryEntry => concat!(r#"{"type":"entry","fileName":"$f","directory":true}"#, "\n"),
            Self::LinkEntry => concat!(r#"{"type":"entry","fileName":"$f","directory":true,"link":true}"#, "\n"),
            Self::BodyEnd => concat!(
                r#"{"type":"end""#,
                written!(r#"(W,"fileName":"$f""#, ""),
                deferred!(r#")(X"#, ""),
                written!(r#","version":"$v")"#, ""),
                r#"(x,"$k":"$x")}"#,
                "\n"
            ),
            Self::ListEnd => {
                concat!(r#"{"type":"end","count":$u(p,"skipped":$p,"unnameable":$g)(h,"hidden":$h)}"#, "\n")
            }
            #[cfg(not(feature = "write"))]
            Self::Error => {
                concat!(
                    r#"{"type":"error","code":"$e","message":"$w$a"(j,"retry_ms":$j)(x,"$k":"$x")"#,
                    absolute!(r#"(Q,"first":$Q)"#),
                    "}\n"
                )
            }
            #[cfg(feature = "write")]
            Self::Error => concat!(
                r#"{"type":"error","code":"$e","message":"$w$a"(j,"retry_ms":$j)(x,"$k":"$x")(A,"max":$A)(B,"free":$B)"#,
                absolute!(r#"(Q,"first":$Q)"#),
                "}\n"
            ),
            Self::Heartbeat => " ",
            #[cfg(feature = "manage")]
            Self::Space => concat!(r#"{"type":"space"(C,"total":$C)(D,"free":$D)(E,"maxFile":$E)}"#, "\n"),
            #[cfg(feature = "classic")]
            Self::ClassicFile => r#"{"type":2,"data":$l,"fileName":"$f","readCnt":$c,"lastSize":$t}"#,
            #[cfg(feature = "classic")]
            Self::ClassicNoFile => r#"{"type":2,"data":-1,"fileName":"$f","readCnt":$c,"lastSize":$t}"#,
            #[cfg(feature = "classic")]
            Self::ClassicList => r#"{"type":1,"fileName":["#,
            #[cfg(feature = "classic")]
            Self::ClassicFirstEntry => r#""$f""#,
            #[cfg(feature = "classic")]
            Self::ClassicEntry => r#","$f""#,
            #[cfg(feature = "classic")]
            Self::ClassicListEnd => r#"],"data":$u}"#,
        }
    }
}

macro_rules! hello {
    ($features:expr, $digests:literal, $more:literal) => {
        concat!(
            r#"{"type":"hello","protocol":1,"server":"coracle/"#,
            env!("CARGO_PKG_VERSION"),
            r#"","name":"$n","maxRequest":$q,"chunkSize":$b,"idle_ms":$i,"request_ms":$r,"stall_ms":$s"#,
            r#"(m,"time":$m),"features":["#,
            $features,
            follow_words!(),
            r#"],"digests":["#,
            $digests,
            "]",
            $more,
            "}\n"
        )
    };
}

/// What a client may do is known only when it asks.
#[cfg(feature = "rights")]
macro_rules! hello_with {
    ($digests:literal) => {
        hello!("$L", $digests, r#"(N,"actions":[$N])"#)
    };
}

#[cfg(not(any(feature = "write", feature = "rights")))]
macro_rules! hello_with {
    ($digests:literal) => {
        hello!(r#""list","stat","get""#, $digests, "")
    };
}

#[cfg(all(feature = "write", not(feature = "rights")))]
macro_rules! hello_with {
    ($digests:literal) => {
        if cfg!(feature = "manage") {
            hello!(
                concat!(
                    r#""list","stat","get"(F,"put")(G,"delete")(H,"rename")(I,"makeDir")(J,"space")(K,"do")"#,
                    deferred!(r#"(M,"sync")"#, "")
                ),
                $digests,
                r#"(K,"actions":["$K"])"#
            )
        } else {
            hello!(r#""list","stat","get"(F,"put")(G,"delete")"#, $digests, "")
        }
    };
}

const HELLO: &str =
    if cfg!(feature = "sha256") { hello_with!(r#""crc32","sha256""#) } else { hello_with!(r#""crc32""#) };

#[cfg(test)]
mod tests {
    use super::LineKind;

    const KINDS: &[LineKind] = &[
        LineKind::Hello,
        LineKind::Header,
        LineKind::FileEntry,
        LineKind::DirectoryEntry,
        LineKind::LinkEntry,
        LineKind::BodyEnd,
        LineKind::ListEnd,
        LineKind::Error,
        LineKind::Heartbeat,
        #[cfg(feature = "manage")]
        LineKind::Space,
        #[cfg(feature = "classic")]
        LineKind::ClassicFile,
        #[cfg(feature = "classic")]
        LineKind::ClassicNoFile,
        #[cfg(feature = "classic")]
        LineKind::ClassicList,
        #[cfg(feature = "classic")]
        LineKind::ClassicFirstEntry,
        #[cfg(feature = "classic")]
        LineKind::ClassicEntry,
        #[cfg(feature = "classic")]
        LineKind::ClassicListEnd,
    ];

    #[test]
    fn templates_have_known_placeholders_and_closed_parentheses() {
        for kind in KINDS {
            let mut bytes = kind.template().bytes();
            let mut is_open = false;
            while let Some(byte) = bytes.next() {
                match byte {
                    b'$' => {
                        assert!(
                            bytes
                                .next()
                                .is_some_and(|letter| b"abcdefghijklmnopqrstuvwxzABCDEKLNOPQ".contains(&letter))
                        );
                    }
                    b'(' => {
                        let known = b"hjmpxyABCDEFGHIJKMNOPQVWXYZ";
                        assert!(!is_open && bytes.next().is_some_and(|letter| known.contains(&letter)), "{kind:?}");
                        is_open = true;
                    }
                    b')' => {
                        assert!(is_open, "{kind:?}");
                        is_open = false;
                    }
                    _ => {}
                }
            }
            assert!(!is_open, "{kind:?}");
        }
    }
}
