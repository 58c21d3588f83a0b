#include "storage/marks.hpp"

#include "tests/storage/temp_store.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::storage::test;

TEST_CASE("storage/knowledge: versions only go up, and a version never changes") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), KnowledgeStore::databases())));
  const KnowledgeStore store = KnowledgeStore::open(env);
  const auto apply = [&](uint64_t version, std::string_view text) {
    return env.write([&](WriteTxn& t) { return store.apply_in(t, version, as_bytes(text), 3); });
  };
  CHECK(apply(0, "x").error().code == Errc::invalid_argument);
  CHECK(must(apply(2, "two")) == 2);
  CHECK(must(apply(2, "two")) == 2);
  CHECK(apply(2, "other").error().code == Errc::conflict);
  CHECK(apply(1, "one").error().code == Errc::refused);
  for (uint64_t v = 3; v <= 7; ++v) must(apply(v, "v"));
  CHECK(must(env.read([&](const ReadTxn& t) { return store.versions_in(t); })) == std::vector<uint64_t>{5, 6, 7});
  CHECK(must(env.read([&](const ReadTxn& t) { return store.newest_in(t); })).version == 7);
}

TEST_CASE("storage/marks: set, list by prefix, erase, bounds") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), Marks::databases())));
  const Marks marks = Marks::open(env);
  must(env.write([&](WriteTxn& t) -> Status {
    DROVER_TRY(marks.set_in(t, "spool/b", "2"));
    DROVER_TRY(marks.set_in(t, "spool/a", "1"));
    CHECK(marks.set_in(t, std::string(481, 'k'), "x").error().code == Errc::too_large);
    return marks.set_in(t, "meta", "m");
  }));
  const auto list = must(env.read([&](const ReadTxn& t) { return marks.list_in(t, "spool/"); }));
  REQUIRE(list.size() == 2);
  CHECK(list[0] == std::pair<std::string, std::string>{"spool/a", "1"});
  CHECK(must(env.write([&](WriteTxn& t) { return marks.erase_in(t, "meta"); })));
  CHECK_FALSE(must(env.read([&](const ReadTxn& t) { return marks.get_in(t, "meta"); })));
}
