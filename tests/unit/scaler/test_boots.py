from imagefleet_scaler.boots import ENOUGH, LEAST_DEADLINE_S, MOST_PATIENCE, Boots
from imagefleet_scaler.policy import HOPELESS_BOOTS


def test_nothing_is_known_before_the_first_boot() -> None:
    boots = Boots(120)

    assert boots.usual_s is None
    assert boots.deadline_s == 120


def test_the_usual_time_is_the_median() -> None:
    boots = Boots(120)
    for seconds in (30, 31, 90):
        boots.came(0, seconds)

    assert boots.usual_s == 31


def test_the_deadline_follows_what_nearly_all_boots_took() -> None:
    boots = Boots(120)
    for _ in range(ENOUGH):
        boots.came(0, 20)

    assert boots.deadline_s == 60


def test_starts_of_stopped_instances_tell_nothing_of_how_long_others_take() -> None:
    boots = Boots(240, mixed=True)
    for _ in range(50):
        boots.came(0, 20)

    assert boots.deadline_s == 240


def test_the_deadline_is_no_longer_than_the_setting_nor_very_short() -> None:
    slow, fast = Boots(120), Boots(120)
    for _ in range(ENOUGH):
        slow.came(0, 90)
        fast.came(0, 0.5)

    assert slow.deadline_s == 120
    assert fast.deadline_s == LEAST_DEADLINE_S


def test_old_boots_are_forgotten() -> None:
    boots = Boots(1000)
    for seconds in [200] * 50 + [20] * 50:
        boots.came(0, seconds)

    assert boots.deadline_s == 60


def test_failures_are_counted_until_one_comes_to_work() -> None:
    boots = Boots(120)

    boots.came_to_nothing(1, 7)
    boots.came_to_nothing(2, 9)
    counts = [boots.failed]
    boots.came(10, 1)
    counts.append(boots.failed)

    assert (counts, boots.failed_at) == ([2, 0], 9)


def test_a_clock_that_differs_makes_no_boot_negative() -> None:
    boots = Boots(120)

    boots.came(0, -5)

    assert boots.usual_s == 0


def test_a_batch_of_which_some_came_has_not_failed() -> None:
    boots = Boots(120)
    for _ in range(14):
        boots.came(1000, 40)

    for _ in range(6):  # known late, as always
        boots.came_to_nothing(1000, 1120)

    assert boots.failed == 0


def test_a_batch_that_failed_as_a_whole_is_one_try() -> None:
    boots = Boots(120)
    for _ in range(20):
        boots.came_to_nothing(1000, 1120)
    together = boots.failed
    boots.came_to_nothing(1135, 1255)

    assert (together, boots.failed) == (HOPELESS_BOOTS, HOPELESS_BOOTS + 1)


def test_a_setting_too_short_for_any_boot_is_found_out() -> None:
    boots, launched_at = Boots(100), 0.0
    deadlines = []
    for _ in range(10):
        given_up_at = launched_at + boots.deadline_s
        boots.came_to_nothing(launched_at, given_up_at)
        deadlines.append(boots.deadline_s)
        launched_at = given_up_at + 1
    boots.came(launched_at, 300)

    assert deadlines[:4] == [200, 400, 800, 800]
    assert max(deadlines) == 100 * MOST_PATIENCE
    assert boots.deadline_s == 600


def test_one_bad_boot_makes_nobody_more_patient_where_others_came() -> None:
    boots = Boots(120)
    for _ in range(ENOUGH):
        boots.came(0, 40)

    boots.came_to_nothing(1000, 1120)
    after_one = boots.deadline_s
    boots.came_to_nothing(1130, 1250)

    assert (after_one, boots.deadline_s) == (120, 240)


def test_a_boot_expected_to_be_slow_is_waited_for() -> None:
    assert Boots(120, 227).deadline_s == 3 * 227
