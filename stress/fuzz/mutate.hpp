// A small mutator with a seed, for runs without libFuzzer: bytes change, go, come twice, come from other inputs or from
// a dictionary. Equal seeds give equal inputs on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace drover::fuzz {

class Mutator {
 public:
  Mutator(uint64_t seed, std::vector<std::string> words) : state_(seed), words_(std::move(words)) {}

  // One of `corpus` (not empty), changed at 1 to 8 places; at most `bytes_max` long.
  std::string next(const std::vector<std::string>& corpus, size_t bytes_max);

 private:
  uint64_t draw();
  size_t below(size_t bound) { return bound == 0 ? 0 : static_cast<size_t>(draw() % bound); }
  void change(std::string& input, const std::vector<std::string>& corpus);
  void overwrite_number(std::string& input);

  uint64_t state_;
  std::vector<std::string> words_;
};

// The words of a libFuzzer dictionary: name="text" with \\, \" and \xNN.
std::vector<std::string> read_dictionary(const std::string& text);

}  // namespace drover::fuzz
