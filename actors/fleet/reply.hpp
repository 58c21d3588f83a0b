// Reply: builds one bounded JSON object, field by field, with raw JSON passed through to the last digit.
//
// Not thread safe.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "storage/episode_store.hpp"

namespace drover::fleet {

using Row = nlohmann::ordered_json;

// One line of text. Bytes that are not UTF-8 become U+FFFD.
std::string dump(const Row& row);

class Reply {
 public:
  explicit Reply(size_t bytes_max) : bytes_max_(bytes_max) {}

  void field(std::string_view name, const Row& value) { raw(name, dump(value)); }
  // `json` is one JSON value.
  void raw(std::string_view name, std::string_view json);

  // A list: begin, any number of items, end. An item that does not fit is left out, and so is all that follows.
  void begin_list(std::string_view name);
  // False when it did not fit: the reply will say so.
  bool raw_item(std::string_view json);
  bool item(const Row& row) { return raw_item(dump(row)); }
  void end_list();

  // Errors: too_large.
  Result<std::string> finish();

 private:
  void name(std::string_view name);
  size_t bytes_max_;
  std::string text_ = "{";
  bool in_list_ = false;
  bool list_empty_ = true;
  bool truncated_ = false;
};

// One line of a listing.
Row pack_row(const Datapack& pack);
Row episode_row(const Episode& episode);
Row event_row(const Event& event);
// Everything of an episode, without its blobs' chunks.
Row episode_details(const Episode& episode);

}  // namespace drover::fleet
