// Damaged files: an error or the right data, never wrong data and never a crash.
#include <fstream>
#include <map>
#include <random>

#include "storage/env.hpp"
#include "storage/keys.hpp"
#include "tests/storage/temp_store.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::storage::test;

namespace {

using Model = std::map<std::string, std::string>;

std::string read_all(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_all(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// Small and large values, updates and erases, so that every kind of page and a free list are there.
Model fill(Env& env, std::mt19937_64& random) {
  Model model;
  for (int round = 0; round < 12; ++round) {
    must(env.write([&](WriteTxn& txn) -> Status {
      for (int i = 0; i < 40; ++i) {
        const std::string key = "key" + std::to_string(random() % 300);
        if (random() % 4 == 0) {
          DROVER_TRY(txn.erase(env.db("t"), as_bytes(key)));
          model.erase(key);
          continue;
        }
        std::string value(random() % 10 == 0 ? random() % 9000 : random() % 200, '\0');
        for (char& c : value) c = static_cast<char>(random());
        DROVER_TRY(txn.put(env.db("t"), as_bytes(key), as_bytes(value)));
        model[key] = value;
      }
      return {};
    }));
  }
  return model;
}

// How a damaged store answered: nothing wrong, or an error.
enum class Answer { right, error, wrong };

Answer ask(const std::filesystem::path& path, const Model& model, Verify verify) {
  EnvOptions options = options_for(path, {"t"});
  options.verify = verify;
  auto env = Env::open(options);
  if (!env) return Answer::error;
  Answer answer = Answer::right;
  const Status scan = env->read([&](const ReadTxn& txn) -> Status {
    for (const auto& [key, value] : model) {
      const auto got = txn.get(env->db("t"), as_bytes(key));
      if (!got) {
        if (answer == Answer::right) answer = Answer::error;
      } else if (!*got || as_text(**got) != value) {
        answer = Answer::wrong;
      }
    }
    return {};
  });
  return scan ? answer : Answer::error;
}

}  // namespace

TEST_CASE("storage/env: flipped bits anywhere in the file give an error or the right data") {
  const uint64_t seed = 20240607;
  MESSAGE("seed " << seed);
  std::mt19937_64 random(seed);
  TempDir dir;
  Model model;
  {
    Env env = must(Env::open(options_for(dir.store(), {"t"})));
    model = fill(env, random);
    must(env.verify(Verify::full));
  }
  const auto file = dir.store() / "data.mdb";
  const std::string good = read_all(file);
  CHECK(ask(dir.store(), model, Verify::full) == Answer::right);
  int errors = 0;
  constexpr int rounds = 1500;
  for (int round = 0; round < rounds; ++round) {
    std::string bad = good;
    const int flips = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < flips; ++i) {
      // Headers are small targets: aim half of the flips at them.
      size_t at = random() % bad.size();
      if (random() % 2 == 0) at = at / 4096 * 4096 + random() % 160;
      bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
    }
    write_all(file, bad);
    const Answer answer = ask(dir.store(), model, Verify::structure);
    if (answer == Answer::wrong) FAIL_CHECK("wrong data in round " << round);
    errors += answer == Answer::error ? 1 : 0;
  }
  MESSAGE(errors << " of " << rounds << " damaged files were noticed, the others were damaged where nothing is stored");
  CHECK(errors > rounds / 4);
}

TEST_CASE("storage/env: a cut file is refused or right") {
  const uint64_t seed = 7;
  MESSAGE("seed " << seed);
  std::mt19937_64 random(seed);
  TempDir dir;
  Model model;
  {
    Env env = must(Env::open(options_for(dir.store(), {"t"})));
    model = fill(env, random);
  }
  const auto file = dir.store() / "data.mdb";
  const std::string good = read_all(file);
  int errors = 0;
  for (int round = 0; round < 120; ++round) {
    write_all(file, good.substr(0, random() % good.size()));
    const Answer answer = ask(dir.store(), model, Verify::structure);
    // An empty file is a new store: that is what it is.
    if (std::filesystem::file_size(file) > 0) CHECK(answer != Answer::wrong);
    errors += answer == Answer::error ? 1 : 0;
  }
  CHECK(errors > 60);
  write_all(file, std::string(20'000, 'x'));
  CHECK(Env::open(options_for(dir.store(), {"t"})).error().code == Errc::corrupt);
}

TEST_CASE("storage/env: a meta page that went back is noticed") {
  TempDir dir;
  {
    Env env = must(Env::open(options_for(dir.store(), {"t"})));
    for (int i = 0; i < 5; ++i)
      must(env.write([&](WriteTxn& txn) { return txn.put(env.db("t"), as_bytes("k"), as_bytes(std::to_string(i))); }));
  }
  const auto file = dir.store() / "data.mdb";
  std::string bytes = read_all(file);
  for (size_t page = 0; page < 2; ++page) {
    std::string bad = bytes;
    bad[page * 4096 + 144] = static_cast<char>(bad[page * 4096 + 144] ^ 0x08);
    write_all(file, bad);
    CHECK(Env::open(options_for(dir.store(), {"t"})).error().code == Errc::corrupt);
  }
}
