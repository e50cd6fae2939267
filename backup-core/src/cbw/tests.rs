//! What needs no scheduler. The sources beside this one are compiled once more with another's locks and atomics
//! (`tests/schedules`), where a test as usual has none.

use super::changes::Changes;

/// Bytes that one bit stands for, as a shift.
const SHIFT: u32 = 16;

#[test]
fn each_cluster_with_a_changed_byte_is_marked_until_it_is_taken() {
    let changes = Changes::new((200 << SHIFT) + 1);
    changes.mark(0, 1);
    changes.mark((63 << SHIFT) + 5, 1 << SHIFT);
    changes.mark(200 << SHIFT, 1);
    changes.mark(7 << SHIFT, 0);
    let marked = changes.take();
    assert_eq!(marked, [1 | 1 << 63, 1, 0, 1 << 8]);
    assert_eq!(changes.marked(), [0; 4]);
    changes.mark(1 << SHIFT, 10);
    changes.add(&marked);
    assert_eq!(changes.marked(), [3 | 1 << 63, 1, 0, 1 << 8]);
    // Nothing is behind the end.
    changes.mark(1 << 40, 1 << SHIFT);
}
