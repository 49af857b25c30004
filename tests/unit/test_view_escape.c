/* SPDX-License-Identifier: MIT */
/* Tests the sanitiser: nothing that acts on a terminal comes out, whatever goes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "view/escape.h"

static void check(const char *in, bool utf8, const char *expected)
{
	char out[ESCAPE_ROOM];

	assert_string_equal(escape_text(in, utf8, sizeof(out), out), expected);
}

static void harmful_characters_become_visible(void **state)
{
	(void)state;
	check(NULL, true, "");
	check("", true, "");
	check("plain (text) [x]: %s \\", true, "plain (text) [x]: %s \\");
	check("a\nb\rc\td", true, "a\\nb\\rc\\td");
	check("\033[31m\a\x7f", true, "\\x1b[31m\\x07\\x7f");
	check("\xc2\x9b"
	      "31m\xc2\x80",
	      true, "\\x9b31m\\x80");
	check("\u202e\u202a\u2066\u2069\u200f", true, "\\u202e\\u202a\\u2066\\u2069\\u200f");
	check("\u200b\u200d\ufeff\u2028\u00ad", true, "\\u200b\\u200d\\ufeff\\u2028\\xad");
	check("\U000e0041", true, "\\U000e0041");
}

static void utf8_is_kept_or_spelt_out(void **state)
{
	(void)state;
	check("gr\u00fc\u00dfe \u6f22 \U0001f600", true, "gr\u00fc\u00dfe \u6f22 \U0001f600");
	check("gr\u00fc\u00dfe \u6f22 \U0001f600", false, "gr\\xfc\\xdfe \\u6f22 \\U0001f600");
	check("\u2026", false, "\\u2026");
}

static void invalid_bytes_are_replaced(void **state)
{
	(void)state;
	check("\xff", true, "\ufffd");
	check("a\x80z", true, "a\ufffdz");
	check("\xc0\xaf", true, "\ufffd\ufffd");                     /* overlong */
	check("\xe0\x80\xaf", true, "\ufffd\ufffd\ufffd");           /* overlong */
	check("\xed\xa0\x80", true, "\ufffd\ufffd\ufffd");           /* surrogate */
	check("\xf4\x90\x80\x80", true, "\ufffd\ufffd\ufffd\ufffd"); /* > U+10FFFF */
	check("\xe2\x82", true, "\ufffd\ufffd");                     /* cut at the end */
	check("\xe2\033[m", true, "\ufffd\\x1b[m"); /* a bad lead does not swallow an escape */
	check("\xff", false, "\\ufffd");
}

static void long_texts_are_cut(void **state)
{
	char out[8];

	(void)state;
	assert_string_equal(escape_text("1234567", true, sizeof(out), out), "1234567");
	assert_string_equal(escape_text("12345678", true, sizeof(out), out), "1234\u2026");
	assert_string_equal(escape_text("12345678", false, sizeof(out), out), "123456>");
	assert_string_equal(escape_text("123\033\033", false, sizeof(out), out), "123>");
	assert_string_equal(escape_text("\u6f22\u6f22\u6f22", true, sizeof(out), out),
			    "\u6f22\u2026");
	assert_string_equal(escape_text("\U000e0041", true, 5, out), "\u2026");
}

static void columns_are_those_of_a_terminal(void **state)
{
	char text[32];

	(void)state;
	assert_int_equal(escape_columns("abc"), 3);
	assert_int_equal(escape_columns("\u6f22\u00e9e\u0301"), 4);
	strcpy(text, "abcdef");
	assert_int_equal(escape_fit(text, true, 6, sizeof(text)), 6);
	assert_string_equal(text, "abcdef");
	assert_int_equal(escape_fit(text, true, 4, sizeof(text)), 4);
	assert_string_equal(text, "abc\u2026");
	assert_int_equal(escape_fit(text, false, 1, sizeof(text)), 1);
	assert_string_equal(text, ">");
	strcpy(text, "\u6f22\u6f22\u6f22"); /* half a character cannot be shown */
	assert_int_equal(escape_fit(text, true, 4, sizeof(text)), 3);
	assert_string_equal(text, "\u6f22\u2026");
	strcpy(text, "abc");
	assert_int_equal(escape_fit(text, true, 2, 4), 2); /* no room for three bytes */
	assert_string_equal(text, "a>");
}

static void decode_and_encode_agree_on_every_character(void **state)
{
	(void)state;
	for (uint32_t c = 1; c <= 0x10ffff; c++) {
		char bytes[5] = {0};
		size_t size, used;

		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		size = escape_encode(c, bytes);
		if (escape_decode(bytes, &used) != c || used != size)
			fail_msg("U+%04X", c);
	}
}

/* Any bytes, any room: terminated, inside the buffer, no control byte, valid UTF-8. */
static void random_bytes_stay_harmless(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char in[64], out[64];
		size_t room = 5 + (size_t)rand_r(&seed) % 50, size;

		for (size_t i = 0; i < sizeof(in); i++)
			in[i] = (char)rand_r(&seed);
		in[sizeof(in) - 1] = '\0';
		memset(out, 1, sizeof(out));
		escape_text(in, round & 1, room, out);
		assert_true(strlen(out) < room);
		assert_int_equal(out[room], 1);
		for (const char *p = out; *p; p += size) {
			uint32_t c = escape_decode(p, &size);

			assert_false(escape_is_harmful(c));
			assert_true(c != ESCAPE_REPLACEMENT || size == 3);
			assert_true((round & 1) || c < 0x80);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(harmful_characters_become_visible),
		cmocka_unit_test(utf8_is_kept_or_spelt_out),
		cmocka_unit_test(invalid_bytes_are_replaced),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(columns_are_those_of_a_terminal),
		cmocka_unit_test(decode_and_encode_agree_on_every_character),
		cmocka_unit_test(random_bytes_stay_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
