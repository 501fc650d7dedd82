use raft::{NodeId, make_authority};

use super::*;
use crate::config::ApiTls;

fn issue(files: &ApiTls) -> (String, String) {
    let identity = make_authority("test")
        .expect("an authority")
        .issue(NodeId(1), "here", 30)
        .expect("issued");
    std::fs::write(&files.certificate, &identity.certificate_pem).expect("written");
    std::fs::write(&files.key, &identity.key_pem).expect("written");
    (identity.certificate_pem, identity.key_pem)
}

#[test]
fn what_the_files_hold_is_taken_once_and_what_is_wrong_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = ApiTls {
        certificate: dir.path().join("api.pem"),
        key: dir.path().join("api.key"),
    };
    let count = |keeper: &Keeper<Clients>| {
        let certificates = format!("{:?}", keeper.certificates());
        let number = |name: &str| -> u64 {
            let rest = certificates.split_once(&format!("{name}: ")).expect(name).1;
            rest.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
                .parse()
                .expect("a number")
        };
        (number("replaced"), number("refused"))
    };
    assert!(
        Keeper::<Clients>::start(files.clone())
            .is_err_and(|error| format!("{error:#}").contains("api.pem (api_tls.certificate)"))
    );
    issue(&files);
    let mut keeper = Keeper::<Clients>::start(files.clone()).expect("started");
    keeper.look();
    assert_eq!(count(&keeper), (0, 0), "nothing is new");
    let (certificate, _) = issue(&files);
    for _ in 0..2 {
        keeper.look();
        assert_eq!(count(&keeper), (1, 0), "taken, once");
    }
    std::fs::write(&files.key, "nonsense").expect("written");
    for _ in 0..2 {
        keeper.look();
        assert_eq!(count(&keeper), (1, 1), "refused, and reported once");
    }
    std::fs::remove_file(&files.key).expect("removed");
    keeper.look();
    keeper.look();
    assert_eq!(count(&keeper), (1, 2), "gone, and reported once");
    // The certificate before its key, as some tools do it: taken when both are there.
    let (_, key) = issue(&files);
    std::fs::write(&files.key, "").expect("written");
    keeper.look();
    std::fs::write(&files.key, key).expect("written");
    keeper.look();
    assert_eq!(count(&keeper), (2, 3));
    assert!(!certificate.is_empty());
}

/// What is proved with a text that names its end; it remembers what it took.
struct Text(PathBuf, std::sync::Mutex<Vec<String>>);

impl Proof for Text {
    const WHAT: &'static str = "the text";
    const OTHERWISE: &'static str = "the one before counts";
    const RENEW: &'static str = "write another";

    fn certificate(&self) -> &Path {
        &self.0
    }

    fn read(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        Ok(vec![std::fs::read(&self.0)?])
    }

    fn take(&self, contents: &[Vec<u8>]) -> anyhow::Result<()> {
        let text = String::from_utf8(contents[0].clone())?;
        text.parse::<i64>()?;
        self.1.lock().expect("whole").push(text);
        Ok(())
    }

    fn expires_at(&self) -> i64 {
        self.1.lock().expect("whole").last().expect("one").parse().expect("a number")
    }
}

#[test]
fn an_end_that_is_near_is_spoken_of_once_a_day_until_it_is_far_again() {
    const DAY: i64 = 86_400;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("text");
    let now = jiff::Timestamp::now().as_second();
    std::fs::write(&path, "x").expect("written");
    let soon = (now + 3 * DAY).to_string();
    let mut keeper = Keeper::new(Text(path.clone(), std::sync::Mutex::new(vec![soon])), Vec::new());
    let first = keeper.reminded.expect("at once");
    keeper.remind(first + DAY - 1);
    assert_eq!(keeper.reminded, Some(first));
    keeper.remind(first + DAY);
    assert_eq!(keeper.reminded, Some(first + DAY));
    keeper.look();
    assert_eq!(keeper.reminded, Some(first + DAY), "what cannot be used changes nothing");
    std::fs::write(&path, (now + 300 * DAY).to_string()).expect("written");
    keeper.look();
    keeper.remind(now);
    assert_eq!(keeper.reminded, None);
    assert_eq!(keeper.proof.1.lock().expect("whole").len(), 2);
}
