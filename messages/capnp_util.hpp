// Small helpers shared by the codecs: text, data and list conversions between plain values and
// Cap'n Proto builders/readers, with every count and size bounded.
#pragma once

#include <capnp/common.h>
#include <capnp/list.h>
#include <kj/string.h>

#include <string>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/datapack.hpp"
#include "messages/hash.hpp"

namespace drover::codec {

inline kj::StringPtr text(const std::string& value) {
  return kj::StringPtr(value.c_str(), value.size());
}
inline std::string text(capnp::Text::Reader value) {
  return std::string(value.cStr(), value.size());
}

inline capnp::Data::Reader blob(ByteView bytes) {
  return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
}
inline ByteView view(capnp::Data::Reader value) {
  return {reinterpret_cast<const std::byte*>(value.begin()), value.size()};
}

// A 32-byte hash, or zeros when the field is empty; false for any other size.
inline bool read_hash(capnp::Data::Reader value, Hash& hash) {
  if (value.size() == 0) return true;
  if (value.size() != hash.size()) return false;
  std::memcpy(hash.data(), value.begin(), hash.size());
  return true;
}

template <class ListBuilder>
void write_texts(ListBuilder list, const std::vector<std::string>& values) {
  for (uint32_t i = 0; i < values.size(); ++i) list.set(i, text(values[i]));
}
template <class ListReader>
std::vector<std::string> read_texts(ListReader list) {
  std::vector<std::string> values;
  values.reserve(list.size());
  for (auto value : list) values.push_back(text(value));
  return values;
}

template <class ListBuilder, class T>
void write_numbers(ListBuilder list, const std::vector<T>& values) {
  for (uint32_t i = 0; i < values.size(); ++i) list.set(i, values[i]);
}
template <class T, class ListReader>
std::vector<T> read_numbers(ListReader list) {
  std::vector<T> values;
  values.reserve(list.size());
  for (T value : list) values.push_back(value);
  return values;
}

template <class Container>
uint32_t count(const Container& values) {
  return static_cast<uint32_t>(values.size());
}

}  // namespace drover::codec
