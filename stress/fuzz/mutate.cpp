#include "stress/fuzz/mutate.hpp"

#include <algorithm>
#include <array>

namespace drover::fuzz {

uint64_t Mutator::draw() {  // splitmix64
  uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// Numbers that parsers stumble over, in 1, 2, 4 or 8 bytes of either order.
void Mutator::overwrite_number(std::string& input) {
  static constexpr std::array<uint64_t, 10> odd = {0,          1,          0x7F,       0x80,       0xFF,
                                                   0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, UINT64_MAX, INT64_MAX};
  const size_t size = size_t{1} << below(4);
  if (input.size() < size) return;
  const size_t at = below(input.size() - size + 1);
  const uint64_t value = below(2) == 0 ? odd[below(odd.size())] : below(64);
  const bool big = below(2) == 0;
  for (size_t i = 0; i < size; ++i) input[at + (big ? size - 1 - i : i)] = static_cast<char>(value >> (8 * i));
}

void Mutator::change(std::string& input, const std::vector<std::string>& corpus) {
  const size_t at = below(input.size() + 1);
  const size_t size = std::min(input.size() - at, 1 + below(size_t{1} << below(8)));
  switch (below(8)) {
    case 0:
      if (at < input.size()) input[at] = static_cast<char>(input[at] ^ static_cast<char>(1 << below(8)));
      return;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(draw());
      return;
    case 2:
      input.erase(at, size);
      return;
    case 3:
      input.insert(at, input.substr(at, size));
      return;
    case 4: {
      const std::string& other = corpus[below(corpus.size())];
      const size_t from = below(other.size() + 1);
      input.insert(at, other.substr(from, 1 + below(64)));
      return;
    }
    case 5:
      if (!words_.empty()) input.insert(at, words_[below(words_.size())]);
      return;
    case 6:
      return overwrite_number(input);
    default:
      if (below(4) == 0) input.resize(at);  // cut off
      return;
  }
}

std::string Mutator::next(const std::vector<std::string>& corpus, size_t bytes_max) {
  std::string input = corpus[below(corpus.size())];
  const size_t changes = 1 + below(8);
  for (size_t i = 0; i < changes; ++i) change(input, corpus);
  if (input.size() > bytes_max) input.resize(bytes_max);
  return input;
}

std::vector<std::string> read_dictionary(const std::string& text) {
  std::vector<std::string> words;
  size_t line = 0;
  while (line < text.size()) {
    const size_t end = std::min(text.find('\n', line), text.size());
    const size_t begin = text.find('"', line);
    if (text[line] != '#' && begin < end) {
      std::string word;
      for (size_t i = begin + 1; i < end && text[i] != '"'; ++i) {
        if (text[i] != '\\' || i + 1 >= end) {
          word.push_back(text[i]);
        } else if (text[i + 1] == 'x' && i + 3 < end) {
          word.push_back(static_cast<char>(std::stoi(text.substr(i + 2, 2), nullptr, 16)));
          i += 3;
        } else {
          word.push_back(text[++i]);
        }
      }
      words.push_back(std::move(word));
    }
    line = end + 1;
  }
  return words;
}

}  // namespace drover::fuzz
