#include "storage/journal.hpp"

#include <signal.h>

#include <random>

#include "tests/storage/temp_store.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::storage::test;

namespace {

Result<AppendedRange> append_text(Env& env, const Journal& journal, const std::vector<std::string>& payloads) {
  std::vector<NewRecord> records;
  for (const auto& p : payloads) records.push_back({RecordKind::event, 7, as_bytes(p), 1});
  return journal.append(env, records);
}

std::string payload_of(uint64_t seq) {
  return std::string(1 + seq * 37 % 3000, static_cast<char>('a' + seq % 26));
}

// Reads the whole journal in blocks and checks every record; returns the last seq.
uint64_t read_through(const Env& env, const Journal& journal, uint64_t from, uint64_t max_bytes) {
  uint64_t next = from;
  for (;;) {
    const Bytes bytes = must(journal.read(env, next, max_bytes));
    if (bytes.empty()) return next - 1;
    const Block block = must(Block::parse(bytes));
    must(block.verify_hashes());
    REQUIRE(block.first_seq() == next);
    CHECK((bytes.size() <= max_bytes || block.count() == 1));
    for (size_t i = 0; i < block.count(); ++i) CHECK(as_text(block.record(i).payload) == payload_of(next + i));
    next = block.last_seq() + 1;
  }
}

}  // namespace

TEST_CASE("storage/journal: records come back in order in blocks of any size, also after reopening") {
  TempDir dir;
  const auto options = options_for(dir.store(), Journal::databases());
  uint64_t last = 0;
  for (int round = 0; round < 3; ++round) {
    Env env = must(Env::open(options));
    const Journal journal = must(Journal::open(env, {"r1", static_cast<uint64_t>(100 + round)}));
    CHECK(journal.identity().incarnation == 100);
    for (uint64_t n = 1; n <= 40; ++n) {
      std::vector<std::string> payloads;
      for (uint64_t i = 1; i <= n; ++i) payloads.push_back(payload_of(last + i));
      const auto range = must(append_text(env, journal, payloads));
      CHECK(range.first_seq == last + 1);
      last = range.last_seq;
    }
    for (const uint64_t max_bytes : {1ULL, 4096ULL, 100'000ULL, 16ULL << 20})
      CHECK(read_through(env, journal, 1 + last / 3, max_bytes) == last);
  }
  Env env = must(Env::open(options));
  CHECK(Journal::open(env, {"other", 1}).error().code == Errc::conflict);
}

TEST_CASE("storage/journal: only what is acknowledged is trimmed, and numbers never repeat") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), Journal::databases())));
  const Journal journal = must(Journal::open(env, {"r1", 1}));
  for (uint64_t s = 1; s <= 10; ++s) must(append_text(env, journal, {payload_of(s)}));
  CHECK(env.write([&](WriteTxn& t) { return journal.trim_in(t, 1); }).error().code == Errc::refused);
  CHECK(env.write([&](WriteTxn& t) { return journal.ack_in(t, 11); }).error().code == Errc::invalid_argument);
  must(env.write([&](WriteTxn& t) { return journal.ack_in(t, 10); }));
  must(env.write([&](WriteTxn& t) { return journal.ack_in(t, 4); }));
  CHECK(must(journal.facts(env)).acked_seq == 10);
  CHECK(must(env.write([&](WriteTxn& t) { return journal.trim_in(t, 6); })) == 6);
  CHECK(must(journal.facts(env)).first_seq == 7);
  CHECK(journal.read(env, 6, 1000).error().code == Errc::gap);
  CHECK(must(env.write([&](WriteTxn& t) { return journal.trim_in(t, 10); })) == 4);
  CHECK(must(append_text(env, journal, {payload_of(11)})).first_seq == 11);
}

TEST_CASE("storage/journal: kill -9 in the middle of appends loses nothing acknowledged and tears nothing") {
  TempDir dir;
  auto options = options_for(dir.store(), Journal::databases());
  options.sync = Sync::synced;
  std::mt19937_64 random(11);
  uint64_t before = 0;
  for (int round = 0; round < 25; ++round) {
    int acks[2];
    REQUIRE(::pipe(acks) == 0);
    const pid_t child = in_child([&] {
      auto env = Env::open(options);
      if (!env) return 1;
      auto journal = Journal::open(*env, {"r1", 1});
      if (!journal) return 2;
      for (uint64_t last = before;;) {
        std::vector<std::string> payloads;
        for (uint64_t i = 1; i <= 5; ++i) payloads.push_back(payload_of(last + i));
        const auto range = append_text(*env, *journal, payloads);
        if (!range || ::write(acks[1], &range->last_seq, 8) != 8) return 3;
        last = range->last_seq;
      }
    });
    ::close(acks[1]);
    uint64_t acked = before, got = 0;
    // The kill comes after a random number of acknowledgements, while the child is in a later append.
    for (uint64_t wait = random() % 20; ::read(acks[0], &got, 8) == 8; acked = got)
      if (wait-- == 0) ::kill(child, SIGKILL);
    ::close(acks[0]);
    const int status = wait_for(child);
    REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    Env env = must(Env::open(options));
    const Journal journal = must(Journal::open(env, {"r1", 1}));
    const uint64_t last = must(journal.facts(env)).last_seq;
    CHECK(last >= acked);
    CHECK(last % 5 == 0);
    CHECK(read_through(env, journal, 1, 1 << 20) == last);
    before = last;
  }
  CHECK(before > 25);
}
