// Every fuzz target with its corpus, its made-up seeds and mutations of both, without libFuzzer. The mutations are
// those of a fixed seed; how many there is time for differs, their order does not. DROVER_FUZZ_MS: time for each
// target.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "stress/fuzz/mutate.hpp"
#include "stress/fuzz/target.hpp"

using namespace drover;
using namespace drover::fuzz;

namespace {

namespace fs = std::filesystem;

fs::path corpus_root() {
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  return fs::path(source == nullptr ? DROVER_SOURCE : source) / "tests/fuzz";
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

int64_t time_per_target_ms() {
  const char* text = std::getenv("DROVER_FUZZ_MS");
  return text == nullptr ? 250 : std::atoll(text);
}

// Exactly as large as its bytes, so that a sanitizer sees reading past them.
void run_on(const Target& target, const std::string& input) {
  const std::vector<std::byte> exact(reinterpret_cast<const std::byte*>(input.data()),
                                     reinterpret_cast<const std::byte*>(input.data()) + input.size());
  target.run(exact);
}

uint64_t mutate(const Target& target, std::vector<std::string> corpus) {
  const auto dictionary = corpus_root() / "dictionaries" / (std::string(target.dictionary) + ".dict");
  Mutator mutator(1, target.dictionary.empty() ? Seeds() : read_dictionary(read_file(dictionary.string())));
  if (corpus.empty()) corpus.emplace_back();
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(time_per_target_ms());
  uint64_t runs = 0;
  for (; runs < 1'000'000 && std::chrono::steady_clock::now() < end; ++runs)
    run_on(target, mutator.next(corpus, target.input_bytes_max));
  return runs;
}

}  // namespace

TEST_CASE("fuzz/replay: corpora, seeds and mutations of them") {
  for (const Target& target : targets()) {
    const std::string name(target.name);
    std::vector<std::string> corpus = target.seeds == nullptr ? Seeds() : target.seeds();
    for (std::string& seed : corpus) seed.resize(std::min<size_t>(seed.size(), target.input_bytes_max));
    for (const fs::path& file : files_in(corpus_root() / name)) corpus.push_back(read_file(file.string()));
    for (const std::string& input : corpus) {
      INFO(name);
      CHECK_MESSAGE(input.size() <= target.input_bytes_max, name);
      run_on(target, input);
    }
    const size_t given = corpus.size();
    const uint64_t runs = mutate(target, std::move(corpus));
    MESSAGE(name, ": ", given, " inputs, ", runs, " mutations");
  }
}

TEST_CASE("fuzz/replay: every target can be told apart, and every folder and dictionary belongs to one") {
  std::set<std::string> names, dictionaries;
  for (const Target& target : targets()) {
    CHECK(names.insert(std::string(target.name)).second);
    CHECK(find_target(target.name) == &target);
    if (!target.dictionary.empty()) dictionaries.insert(std::string(target.dictionary) + ".dict");
    CHECK(((target.seeds != nullptr && !target.seeds().empty()) ||
           !files_in(corpus_root() / std::string(target.name)).empty()));
  }
  CHECK(find_target("nobody") == nullptr);
  for (const fs::path& entry : files_in(corpus_root()))
    if (fs::is_directory(entry) && entry.filename() != "dictionaries") CHECK(names.contains(entry.filename().string()));
  std::set<std::string> files;
  for (const fs::path& entry : files_in(corpus_root() / "dictionaries")) files.insert(entry.filename().string());
  CHECK(files == dictionaries);
}

TEST_CASE("fuzz/mutate: equal seeds give equal inputs, within the bound, and dictionaries are read as libFuzzer does") {
  const std::vector<std::string> corpus{"hello world", "0123456789"};
  const std::vector<std::string> words = read_dictionary("# a comment\nname=\"a\\\"b\"\n\"\\x41\\\\\"\n\n\"x\"\n");
  CHECK(words == std::vector<std::string>{"a\"b", "A\\", "x"});
  Mutator a(5, words), b(5, words), c(6, words);
  size_t same = 0, changed = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string one = a.next(corpus, 24);
    CHECK(one == b.next(corpus, 24));
    CHECK(one.size() <= 24);
    same += one == c.next(corpus, 24) ? 1 : 0;
    changed += one == corpus[0] || one == corpus[1] ? 0 : 1;
  }
  CHECK(same < 100);
  CHECK(changed > 800);
}
