"""What a month costs: pure functions over listed prices and measured speed."""
