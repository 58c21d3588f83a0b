#include "storage/env.hpp"

#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "storage/keys.hpp"
#include "tests/storage/temp_store.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::storage::test;

namespace {

Key key_of(uint64_t n) {
  Key key;
  key.u64(n);
  return key;
}

bool below(const Key& a, const Key& b) {
  return as_text(a.view()) < as_text(b.view());
}

Status put_number(Env& env, uint64_t n, size_t size) {
  const std::string value(size, static_cast<char>('a' + n % 26));
  return env.write([&](WriteTxn& txn) { return txn.put(env.db("t"), key_of(n), as_bytes(value)); });
}

bool holds_number(const Env& env, uint64_t n, size_t size) {
  return must(env.read([&](const ReadTxn& txn) -> Result<bool> {
    DROVER_ASSIGN(const auto value, txn.get(env.db("t"), key_of(n)));
    return value && as_text(*value) == std::string(size, static_cast<char>('a' + n % 26));
  }));
}

}  // namespace

TEST_CASE("storage/keys: byte order is the order of what was encoded") {
  const double doubles[] = {-1e300, -2.5, -0.0, 1e-300, 1, 2.5, 1e300};
  for (size_t i = 0; i + 1 < std::size(doubles); ++i) {
    Key a, b, c, d;
    a.f64(doubles[i]);
    b.f64(doubles[i + 1]);
    c.f64_descending(doubles[i]);
    d.f64_descending(doubles[i + 1]);
    CHECK(below(a, b));
    CHECK(below(d, c));
    CHECK(KeyReader(a.view()).f64() == doubles[i]);
  }
  Key key;
  key.text("robot").i64(-5).u32(7);
  KeyReader reader(key.view());
  CHECK(reader.text() == "robot");
  CHECK(reader.i64() == -5);
  CHECK(reader.u32() == 7);
  CHECK(reader.done());
  Key bad;
  bad.text(std::string_view("a\0b", 3));
  CHECK(bad.view().empty());
  CHECK_FALSE(KeyReader(as_bytes("no end")).text() == "no end");
}

TEST_CASE("storage/env: what is written is read, also after reopening, and an error rolls back") {
  TempDir dir;
  {
    Env env = must(Env::open(options_for(dir.store(), {"t", "u"})));
    must(put_number(env, 1, 10));
    must(put_number(env, 2, 100'000));
    const Status failed = env.write([&](WriteTxn& txn) -> Status {
      DROVER_TRY(txn.put(env.db("t"), key_of(3), as_bytes("x")));
      return fail(Errc::refused, "test", "no");
    });
    CHECK(failed.error().code == Errc::refused);
    CHECK(env.write([&](WriteTxn& txn) { return txn.put(env.db("t"), {}, {}); }).error().code ==
          Errc::invalid_argument);
  }
  Env env = must(Env::open(options_for(dir.store(), {"u", "t"})));
  CHECK(holds_number(env, 1, 10));
  CHECK(holds_number(env, 2, 100'000));
  must(env.read([&](const ReadTxn& txn) -> Status {
    CHECK(must(txn.count(env.db("t"))) == 2);
    CHECK(must(txn.count(env.db("u"))) == 0);
    Cursor at = txn.cursor(env.db("t"));
    CHECK(must(at.at_most(key_of(99))));
    CHECK(KeyReader(at.key()).u64() == 2);
    CHECK_FALSE(must(at.at_least(key_of(3))));
    CHECK_FALSE(must(at.at_most(key_of(0))));
    return {};
  }));
  CHECK(must(env.write([&](WriteTxn& txn) { return txn.erase_prefix(env.db("t"), {}); })) == 2);
  CHECK(must(env.read([&](const ReadTxn& txn) { return txn.count(env.db("t")); })) == 0);
}

TEST_CASE("storage/env: put_ascending stores what put stores, in any order, and fills pages when keys ascend") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), {"put", "ascending", "mixed"})));
  const auto value_of = [](uint64_t n) { return std::string(1'800, static_cast<char>('a' + n % 26)); };
  constexpr uint64_t count = 500;
  const auto pages = [&] { return must(env.facts()).used_bytes / 4096; };
  const uint64_t empty = pages();
  must(env.write([&](WriteTxn& txn) -> Status {
    for (uint64_t n = 0; n < count; ++n)
      DROVER_TRY(txn.put_ascending(env.db("ascending"), key_of(n), as_bytes(value_of(n))));
    return {};
  }));
  const uint64_t ascending = pages() - empty;
  CHECK(ascending < count * 6 / 10);  // two values to a page
  must(env.write([&](WriteTxn& txn) -> Status {
    for (uint64_t n = 0; n < count; ++n) DROVER_TRY(txn.put(env.db("put"), key_of(n), as_bytes(value_of(n))));
    for (uint64_t n = 0; n < count; ++n) {  // every key in another order, twice: the second time replaces
      const uint64_t key = n * 7 % count;
      DROVER_TRY(txn.put_ascending(env.db("mixed"), key_of(key), as_bytes("first")));
      DROVER_TRY(txn.put_ascending(env.db("mixed"), key_of(key), as_bytes(value_of(key))));
    }
    return {};
  }));
  must(env.read([&](const ReadTxn& txn) -> Status {
    for (const char* table : {"ascending", "mixed"}) {
      CHECK(must(txn.count(env.db(table))) == count);
      for (uint64_t n = 0; n < count; ++n)
        CHECK(as_text(*must(txn.get(env.db(table), key_of(n)))) == as_text(*must(txn.get(env.db("put"), key_of(n)))));
    }
    return {};
  }));
}

TEST_CASE("storage/env: prefixes are erased whole and nothing else") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), {"t"})));
  const auto key = [](uint32_t group, uint32_t n) {
    Key k;
    k.u32(group).u32(n);
    return k;
  };
  must(env.write([&](WriteTxn& txn) -> Status {
    for (uint32_t g = 0; g < 3; ++g)
      for (uint32_t n = 0; n < 2000; ++n) DROVER_TRY(txn.put(env.db("t"), key(g, n), as_bytes("value")));
    return {};
  }));
  Key prefix;
  prefix.u32(1);
  CHECK(must(env.write([&](WriteTxn& txn) { return txn.erase_prefix(env.db("t"), prefix); })) == 2000);
  must(env.read([&](const ReadTxn& txn) -> Status {
    CHECK(must(txn.count(env.db("t"))) == 4000);
    CHECK_FALSE(must(txn.get(env.db("t"), key(1, 77))));
    CHECK(must(txn.get(env.db("t"), key(2, 0))));
    return {};
  }));
  must(env.verify(Verify::full));
}

TEST_CASE("storage/env: the map grows while readers read") {
  TempDir dir;
  EnvOptions options = options_for(dir.store(), {"t"});
  options.map_initial_bytes = 64u << 10;
  Env env = must(Env::open(options));
  must(put_number(env, 0, 5000));
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::atomic<uint64_t> reads = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i)
    readers.emplace_back([&] {
      while (!stop) {
        const auto fine = env.read([&](const ReadTxn& txn) -> Result<bool> {
          DROVER_ASSIGN(const auto value, txn.get(env.db("t"), key_of(0)));
          return value && value->size() == 5000 && (*value)[4999] == std::byte{'a'};
        });
        if (!fine || !*fine) ++wrong;
        ++reads;
      }
    });
  for (uint64_t n = 1; n <= 600; ++n) must(put_number(env, n, 5000));
  while (reads < 100) std::this_thread::yield();
  stop = true;
  for (auto& reader : readers) reader.join();
  CHECK(wrong == 0);
  CHECK(must(env.facts()).map_bytes >= 600 * 5000);
  must(env.verify(Verify::full));
}

TEST_CASE("storage/env: at its bound the store refuses writes, goes on reading, and recovers") {
  TempDir dir;
  EnvOptions options = options_for(dir.store(), {"t"});
  options.map_initial_bytes = 64u << 10;
  options.map_max_bytes = 1u << 20;
  Env env = must(Env::open(options));
  uint64_t n = 0;
  Status status;
  while (n < 1000 && (status = put_number(env, n, 20'000))) ++n;
  REQUIRE_FALSE(status);
  CHECK(status.error().code == Errc::disk_full);
  CHECK(n > 30);
  for (uint64_t i = 0; i < n; ++i) CHECK(holds_number(env, i, 20'000));
  must(env.write([&](WriteTxn& txn) -> Status {
    for (uint64_t i = 0; i < n / 2; ++i) DROVER_TRY(txn.erase(env.db("t"), key_of(i)));
    return {};
  }));
  must(put_number(env, 5000, 1000));
  must(put_number(env, 5001, 20'000));
  CHECK(holds_number(env, 5001, 20'000));
  must(env.verify(Verify::full));
}

TEST_CASE("storage/env: a full disk refuses writes, and they work again once there is space") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), {"t"})));
  must(put_number(env, 1, 50'000));
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  auto* old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 256u << 10;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Status full = put_number(env, 2, 400'000);
  const bool reads = holds_number(env, 1, 50'000);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, old_handler);
  REQUIRE_FALSE(full);
  CHECK(full.error().code == Errc::disk_full);
  CHECK(reads);
  CHECK_FALSE(holds_number(env, 2, 400'000));
  must(put_number(env, 2, 400'000));
  CHECK(holds_number(env, 2, 400'000));
  must(env.verify(Verify::full));
}

TEST_CASE("storage/env: the reserve of free space is kept") {
  TempDir dir;
  EnvOptions options = options_for(dir.store(), {"t"});
  options.free_reserve_bytes = uint64_t{1} << 60;
  Env env = must(Env::open(options));
  CHECK(put_number(env, 1, 10).error().code == Errc::disk_full);
}

TEST_CASE("storage/env: one process writes; a second is told which one") {
  TempDir dir;
  std::optional<Env> env = must(Env::open(options_for(dir.store(), {"t"})));
  CHECK(Env::open(options_for(dir.store(), {"t"})).error().code == Errc::already_exists);
  env.reset();
  int ready[2], stop[2];
  REQUIRE(::pipe(ready) == 0);
  REQUIRE(::pipe(stop) == 0);
  const pid_t child = in_child([&] {
    auto theirs = Env::open(options_for(dir.store(), {"t"}));
    char c = theirs ? 'y' : 'n';
    if (::write(ready[1], &c, 1) != 1) return 1;
    ::close(stop[1]);
    return ::read(stop[0], &c, 1) == 0 ? 0 : 1;
  });
  char c = 0;
  REQUIRE(::read(ready[0], &c, 1) == 1);
  REQUIRE(c == 'y');
  const auto second = Env::open(options_for(dir.store(), {"t"}));
  ::close(stop[1]);
  CHECK(wait_for(child) == 0);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::refused);
  CHECK(second.error().message().find(std::to_string(child)) != std::string::npos);
  CHECK(Env::open(options_for(dir.store(), {"t"})));
}

TEST_CASE("storage/env: another process reads beside the writer, also after the map grew") {
  TempDir dir;
  int go[2], done[2];
  REQUIRE(::pipe(go) == 0);
  REQUIRE(::pipe(done) == 0);
  const pid_t child = in_child([&] {
    char c = 0;
    if (::read(go[0], &c, 1) != 1) return 1;
    EnvOptions options = options_for(dir.store(), {"t", "never"});
    options.access = Access::read_only;
    auto env = Env::open(options);
    if (!env || !holds_number(*env, 1, 10)) return 2;
    if (env->write([&](WriteTxn&) -> Status { return {}; }).error().code != Errc::refused) return 3;
    if (must(env->read([&](const ReadTxn& txn) { return txn.count(env->db("never")); })) != 0) return 4;
    if (::write(done[1], &c, 1) != 1 || ::read(go[0], &c, 1) != 1) return 5;
    if (!env->verify(Verify::full)) return 6;
    return holds_number(*env, 999, 5000) ? 0 : 7;
  });
  Env env = must(Env::open(options_for(dir.store(), {"t"})));
  must(put_number(env, 1, 10));
  char c = 'g';
  REQUIRE(::write(go[1], &c, 1) == 1);
  REQUIRE(::read(done[0], &c, 1) == 1);
  for (uint64_t n = 2; n <= 999; ++n) must(put_number(env, n, 5000));
  REQUIRE(::write(go[1], &c, 1) == 1);
  CHECK(wait_for(child) == 0);
  EnvOptions nothing = options_for(dir.store() / "absent", {"t"});
  nothing.access = Access::read_only;
  CHECK(Env::open(nothing).error().code == Errc::not_found);
}
