use super::*;

#[test]
fn text_names_a_path_unless_it_says_otherwise() {
    let parse = |text: &str| text.parse::<Address>().unwrap();
    assert_eq!(parse("/run/vm.qmp"), Address::unix("/run/vm.qmp"));
    assert_eq!(parse("unix:vm.qmp"), Address::unix("vm.qmp"));
    assert_eq!(parse("tcp:[::1]:4444"), Address::Tcp("[::1]:4444".into()));
    assert_eq!(parse("unix:tcp:x"), Address::unix("tcp:x"));
    for text in ["/run/vm.qmp", "tcp:localhost:4444"] {
        assert_eq!(parse(text).to_string(), text);
    }
}
