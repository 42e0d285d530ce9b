"""The words that fakes speak. Each is one token of the tokenizers we use in tests, alone and after a space."""

LINE = """
the and you that was for are with his they this have from one had word but not what all were when your can said
there use each which she how their will other about out many then them these some her would make like him into
time has look two more write see number way could people
"""
WORDS = tuple(LINE.split())
