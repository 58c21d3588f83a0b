// SourceListener: hears what a log holds while a source decodes it, so that nobody has to decode a slice again.
//
// A source tells begin(), then what it reads in file order, and cut() whenever an episode ends. What was told between
// two cuts is what decoding the slice of that episode would give, whenever cut() says `whole`; where it says otherwise
// (damage), or nothing is told at all (MCAP logs), the slice is there to be read. Views live for the call only.
// Threads: that of the source.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "actors/capture/csv.hpp"
#include "actors/capture/mapping.hpp"
#include "actors/capture/recording_reader.hpp"
#include "messages/bytes.hpp"

namespace drover::capture {

// One line of a CSV log below the header, also one that the source itself has no use for.
struct HeardRow {
  const CsvRow& row;
  // The line's time, where the source read it: false for a line that it left out before. No time: it cannot be read.
  bool time_read = false;
  std::optional<int64_t> time_ns;  // as written, before the source judges it
  // By cell, what parse_number makes of it; NaN, or nothing at all: the source did not parse that cell.
  std::span<const double> numbers;
};

class SourceListener {
 public:
  virtual ~SourceListener() = default;
  // A file is opened; nothing of the one before matters any more.
  virtual void begin(const Hash& /*source_hash*/, const std::shared_ptr<const Mapping>& /*mapping*/) {}
  // Hears the recording that is read next; null: nothing of it.
  virtual RecordingVisitor* recording() { return nullptr; }
  virtual void header(std::span<const std::string> /*names*/) {}
  virtual void row(const HeardRow& /*row*/) {}
  // Episode `ordinal` ends here: all that was told since the cut before, or since begin(), is its own.
  virtual void cut(uint64_t /*ordinal*/, bool /*whole*/) {}
};

}  // namespace drover::capture
