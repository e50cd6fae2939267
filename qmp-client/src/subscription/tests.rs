use super::*;
use crate::error::ErrorKind;

const NOW: Duration = Duration::ZERO;

fn subscription() -> (Feed, Subscription) {
    Subscription::fed()
}

fn event(number: usize) -> Event {
    Event {
        name: format!("E{number}"),
        data: serde_json::Map::new(),
        timestamp: crate::message::Timestamp::default(),
    }
}

#[test]
fn oldest_events_are_dropped_and_counted() {
    let (queue, subscription) = subscription();
    for number in 0..Subscription::CAPACITY + 3 {
        queue.push(event(number), 10);
    }
    assert_eq!(subscription.lost(), 3);
    assert_eq!(subscription.next(NOW).unwrap().unwrap().name, "E3");
}

#[test]
fn many_bytes_count_like_many_events() {
    let (queue, subscription) = subscription();
    queue.push(event(0), Subscription::CAPACITY_BYTES / 2);
    queue.push(event(1), Subscription::CAPACITY_BYTES / 2);
    queue.push(event(2), 1);
    assert_eq!(subscription.next(NOW).unwrap().unwrap().name, "E1");
    queue.push(event(3), Subscription::CAPACITY_BYTES + 1);
    assert_eq!(
        subscription.lost(),
        3,
        "a single event over the limit goes, too"
    );
    assert_eq!(subscription.next(NOW).unwrap(), None);
    queue.push(event(4), Subscription::CAPACITY_BYTES);
    assert_eq!(subscription.next(NOW).unwrap().unwrap().name, "E4");
}

#[test]
fn waiting_passes_over_other_events_and_ends_in_time() {
    let (queue, subscription) = subscription();
    for number in 0..3 {
        queue.push(event(number), 10);
    }
    let found = subscription
        .wait_for(|event| event.name == "E1", NOW)
        .unwrap();
    assert_eq!(found.unwrap().name, "E1");
    assert_eq!(
        subscription
            .wait_for(|event| event.name == "E1", NOW)
            .unwrap(),
        None
    );
}

#[test]
fn what_came_before_the_end_is_still_read() {
    let (queue, subscription) = subscription();
    queue.push(event(0), 10);
    queue.close(&Error::new(ErrorKind::Closed));
    assert_eq!(subscription.next(NOW).unwrap().unwrap().name, "E0");
    for _ in 0..2 {
        assert_eq!(
            subscription.next(NOW).unwrap_err().kind(),
            ErrorKind::Closed
        );
    }
}

#[test]
fn an_event_wakes_who_waits_for_it() {
    let (queue, subscription) = subscription();
    let waiting = std::thread::spawn(move || subscription.next(Duration::from_secs(20)));
    queue.push(event(0), 10);
    assert_eq!(waiting.join().unwrap().unwrap().unwrap().name, "E0");
}
