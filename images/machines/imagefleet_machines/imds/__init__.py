"""Instance metadata, second version, for the machines of a laptop.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""
