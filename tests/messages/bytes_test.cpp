// Bytes share and never copy; Result carries where and what.
#include "messages/bytes.hpp"

#include <doctest/doctest.h>

#include <set>

#include "messages/result.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;

TEST_CASE("messages/bytes: slices share the run and outlive the whole") {
  Bytes part;
  {
    const Bytes whole = Bytes::copy_of("0123456789");
    part = whole.slice(3, 4);
    CHECK(part.data() == whole.data() + 3);
  }
  CHECK(part.text() == "3456");
  CHECK(part.slice(4, 0).empty());
}

TEST_CASE("messages/bytes: a copy is independent of its source and starts aligned") {
  std::string source = "abc";
  const Bytes copy = Bytes::copy_of(source);
  source[0] = 'X';
  CHECK(copy.text() == "abc");
  for (size_t size : {0, 1, 7, 64, 4097}) {
    const Bytes b = Bytes::make(size, [](std::span<std::byte>) {});
    CHECK(reinterpret_cast<uintptr_t>(b.data()) % 16 == 0);
    CHECK(b.size() == size);
    for (std::byte byte : b.view()) CHECK(byte == std::byte{0});
  }
}

TEST_CASE("messages/bytes: equality is by content") {
  CHECK(Bytes() == Bytes::copy_of(""));
  CHECK(Bytes::copy_of("ab") == Bytes::copy_of("xab").slice(1, 2));
  CHECK(!(Bytes::copy_of("ab") == Bytes::copy_of("ac")));
  CHECK(!(Bytes::copy_of("ab") == Bytes::copy_of("abc")));
}

namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(Errc::invalid_argument, "value", "is odd");
  return value / 2;
}
Result<int> quarter(int value) {
  DROVER_ASSIGN(const int once, half(value));
  DROVER_TRY(half(once));
  return once / 2;
}

}  // namespace

TEST_CASE("messages/result: errors travel with code, place and reason") {
  CHECK(quarter(8).value() == 2);
  CHECK(quarter(7).error().message() == "invalid_argument: value: is odd");
  CHECK(quarter(6).error().code == Errc::invalid_argument);
  CHECK(Error{Errc::gap, "", ""}.message() == "gap");
}

TEST_CASE("messages/result: every error code has its own stable name") {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Errc::internal); ++i) names.insert(errc_name(static_cast<Errc>(i)));
  CHECK(names.size() == static_cast<size_t>(Errc::internal) + 1);
  CHECK(!names.contains("unknown"));
  CHECK(errc_name(static_cast<Errc>(200)) == "unknown");
}
