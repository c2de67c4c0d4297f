from imagefleet_scaler.boots import ENOUGH, Boots


def test_nothing_is_known_before_the_first_boot() -> None:
    boots = Boots(120)

    assert boots.usual_s is None
    assert boots.deadline_s == 120


def test_the_usual_time_is_the_median() -> None:
    boots = Boots(120)
    for seconds in (30, 31, 90):
        boots.came(seconds)

    assert boots.usual_s == 31


def test_the_deadline_follows_what_nearly_all_boots_took() -> None:
    boots = Boots(120)
    for _ in range(ENOUGH):
        boots.came(20)

    assert boots.deadline_s == 60


def test_the_deadline_is_never_longer_than_the_setting_nor_very_short() -> None:
    slow, fast = Boots(120), Boots(120)
    for _ in range(ENOUGH):
        slow.came(90)
        fast.came(0.5)

    assert slow.deadline_s == 120
    assert fast.deadline_s == 10


def test_old_boots_are_forgotten() -> None:
    boots = Boots(1000)
    for seconds in [200] * 50 + [10] * 50:
        boots.came(seconds)

    assert boots.deadline_s == 30


def test_failures_are_counted_until_one_comes_to_work() -> None:
    boots = Boots(120)

    boots.came_to_nothing(7)
    boots.came_to_nothing(9)
    counts = [boots.failed]
    boots.came(1)
    counts.append(boots.failed)

    assert (counts, boots.failed_at) == ([2, 0], 9)


def test_a_clock_that_differs_makes_no_boot_negative() -> None:
    boots = Boots(120)

    boots.came(-5)

    assert boots.usual_s == 0
