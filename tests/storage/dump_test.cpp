#include "storage/dump.hpp"

#include "tests/storage/temp_store.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::storage::test;

namespace {

std::string dump_of(const Env& env, const Inbox& inbox, const Blobs& blobs) {
  DumpParts parts;
  parts.inbox = &inbox;
  parts.blobs = &blobs;
  std::string text;
  const auto result = must(env.read([&](const ReadTxn& txn) {
    return dump_in(txn, parts, [&](std::string_view line) -> Status {
      text.append(line).append("\n");
      return {};
    });
  }));
  CHECK(result.digest == sha256(as_bytes(text)));
  return text;
}

}  // namespace

TEST_CASE("storage/dump: the order in which things came leaves no trace, and a difference does") {
  const std::string first = "first chunk", second = "second chunk";
  const auto fill = [&](Env& env, bool reversed, uint64_t watermark) {
    const Inbox inbox = Inbox::open(env);
    const Blobs blobs = Blobs::open(env);
    const auto step = [&](int i) {
      must(env.write([&](WriteTxn& txn) -> Status {
        if (i == 0) return inbox.set_watermark_in(txn, "econ", "r1", 1, watermark);
        if (i == 1) return inbox.quarantine_in(txn, "r\"9", reversed ? 5 : 6, "reason\n");
        const std::string& text = i == 2 ? first : second;
        DROVER_TRY(blobs.put_in(txn, {sha256(as_bytes(text)), as_bytes(text), 1.0 * i, "e"}));
        return {};
      }));
    };
    for (int i = 0; i < 4; ++i) step(reversed ? 3 - i : i);
    return dump_of(env, inbox, blobs);
  };
  const auto options = [](const TempDir& dir) {
    return options_for(dir.store(), joined({Inbox::databases(), Blobs::databases()}));
  };
  TempDir a, b, c;
  Env env_a = must(Env::open(options(a))), env_b = must(Env::open(options(b))), env_c = must(Env::open(options(c)));
  const std::string text = fill(env_a, false, 5);
  CHECK(text == fill(env_b, true, 5));
  CHECK(text != fill(env_c, true, 6));
  CHECK(text.find("quarantine \"r\\\"9\" \"reason\\u000a\"\n") != std::string::npos);
  CHECK(text.find("watermark \"econ\" \"r1\" 1 5\n") != std::string::npos);
  CHECK(text.find("chunk " + to_hex(sha256(as_bytes(first))) + " 11\n") != std::string::npos);
  CHECK(text.ends_with("end\n"));
}
