#include "storage/inbox.hpp"

#include <map>
#include <random>

#include "storage/dump.hpp"
#include "tests/storage/temp_store.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::storage::test;

namespace {

// `forged` records have other content than the genuine ones of the same number.
Block block_of(uint64_t first, uint64_t last, uint64_t forged_from = UINT64_MAX) {
  BlockBuilder builder(first);
  for (uint64_t s = first; s <= last; ++s)
    must(
        builder.add(RecordKind::event, 1, 0, as_bytes((s >= forged_from ? "forged " : "record ") + std::to_string(s))));
  return must(Block::parse(builder.finish()));
}

struct Step {
  uint64_t incarnation, first, last, forged_from;
  AppendStatus status;
  uint64_t durable;
};

AppendOutcome send(Env& env, const Inbox& inbox, std::string robot, uint64_t incarnation, Block block) {
  const Incoming one{std::move(robot), incarnation, std::move(block), 5};
  return must(inbox.append_many(env, std::span(&one, 1))).front();
}

Hash digest(const Env& env, const Inbox& inbox) {
  DumpParts parts;
  parts.inbox = &inbox;
  return must(env.read([&](const ReadTxn& txn) { return dump_in(txn, parts, {}); })).digest;
}

}  // namespace

TEST_CASE("storage/inbox: repeats, overlaps, gaps, incarnations and conflicts") {
  constexpr uint64_t no = UINT64_MAX;
  const Step steps[] = {
      {7, 3, 4, no, AppendStatus::gap, 0},  // nothing there yet
      {7, 1, 3, no, AppendStatus::ok, 3},
      {7, 1, 3, no, AppendStatus::ok, 3},  // repeat
      {7, 5, 6, no, AppendStatus::gap, 3},
      {7, 2, 5, no, AppendStatus::ok, 5},  // overlap: only the tail is new
      {7, 3, 8, no, AppendStatus::ok, 8},
      {9, 2, 2, no, AppendStatus::gap, 0},  // must not found the new incarnation
      {7, 9, 9, no, AppendStatus::ok, 9},
      {9, 1, 2, no, AppendStatus::ok, 2},         // re-imaged
      {7, 10, 10, no, AppendStatus::refused, 9},  // the old disk came back
      {9, 1, 4, 2, AppendStatus::conflict, 2},
      {9, 3, 3, no, AppendStatus::refused, 2},  // quarantined
  };
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), Inbox::databases())));
  const Inbox inbox = Inbox::open(env);
  for (size_t i = 0; i < std::size(steps); ++i) {
    CAPTURE(i);
    const Step& s = steps[i];
    const auto outcome = send(env, inbox, "r1", s.incarnation, block_of(s.first, s.last, s.forged_from));
    CHECK(append_status_name(outcome.status) == append_status_name(s.status));
    CHECK(outcome.durable_seq == s.durable);
    CHECK(outcome.message.empty() == (s.status == AppendStatus::ok));
  }
  CHECK(send(env, inbox, "r2", 1, block_of(1, 2)).status == AppendStatus::ok);
  CHECK(send(env, inbox, "", 1, block_of(1, 2)).status == AppendStatus::refused);
  CHECK(must(env.write([&](WriteTxn& t) { return inbox.clear_quarantine_in(t, "r1"); })));
  CHECK(send(env, inbox, "r1", 9, block_of(3, 3)).status == AppendStatus::ok);
}

TEST_CASE("storage/inbox: any order of sending ends in the same store, however it was batched") {
  const uint64_t seed = 99;
  MESSAGE("seed " << seed);
  std::mt19937_64 random(seed);
  TempDir plain_dir;
  Env plain = must(Env::open(options_for(plain_dir.store(), Inbox::databases())));
  const Inbox plain_inbox = Inbox::open(plain);
  for (const char* robot : {"a", "b", "c"}) send(plain, plain_inbox, robot, 1, block_of(1, 200));
  const Hash expected = digest(plain, plain_inbox);
  for (int round = 0; round < 10; ++round) {
    TempDir dir;
    Env env = must(Env::open(options_for(dir.store(), Inbox::databases())));
    const Inbox inbox = Inbox::open(env);
    std::map<std::string, uint64_t> durable{{"a", 0}, {"b", 0}, {"c", 0}};
    while (durable["a"] + durable["b"] + durable["c"] < 600) {
      std::vector<Incoming> batch;
      std::vector<std::pair<AppendStatus, uint64_t>> model;
      for (uint64_t n = 1 + random() % 5; n > 0; --n) {
        const std::string robot(1, static_cast<char>('a' + random() % 3));
        uint64_t& d = durable[robot];
        const uint64_t first =
            std::min<uint64_t>(200, std::max<int64_t>(1, static_cast<int64_t>(d + random() % 12) - 8));
        const uint64_t last = std::min<uint64_t>(200, first + random() % 15);
        const bool gap = first > d + 1;
        if (!gap) d = std::max(d, last);
        model.emplace_back(gap ? AppendStatus::gap : AppendStatus::ok, d);
        batch.push_back({robot, 1, block_of(first, last), static_cast<int64_t>(random() % 1000)});
      }
      const auto outcomes = must(inbox.append_many(env, batch));
      for (size_t i = 0; i < batch.size(); ++i) {
        CHECK(outcomes[i].status == model[i].first);
        CHECK(outcomes[i].durable_seq == model[i].second);
      }
    }
    CHECK(digest(env, inbox) == expected);
  }
}

TEST_CASE("storage/inbox: watermarks commit with their effects and can be reset") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), Inbox::databases())));
  const Inbox inbox = Inbox::open(env);
  CHECK_FALSE(env.write([&](WriteTxn& t) -> Status {
    DROVER_TRY(inbox.set_watermark_in(t, "econ", "r1", 1, 5));
    return fail(Errc::internal, "test", "no");
  }));
  const auto mark = [&] {
    return must(env.read([&](const ReadTxn& t) { return inbox.watermark_in(t, "econ", "r1", 1); }));
  };
  CHECK(mark() == 0);
  must(env.write([&](WriteTxn& t) { return inbox.set_watermark_in(t, "econ", "r1", 1, 5); }));
  CHECK(mark() == 5);
  must(env.write([&](WriteTxn& t) { return inbox.reset_consumer_in(t, "econ"); }));
  CHECK(mark() == 0);
}
