// Rows of a delimited text file, streamed, with the exact bytes each row came from.
//
// Invariants: memory is bounded by the window and the longest line allowed, whatever the file; outside bytes never
// crash; rows come in file order and their byte ranges are disjoint and increasing. The first damage ends the reading
// and all before it was delivered. Text is bytes: NUL and invalid UTF-8 pass through.
// Threads: a reader belongs to one thread.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/result.hpp"
#include "storage/mcap/io.hpp"

namespace drover::capture {

using ByteSource = mcap::Source;

enum class LineEnds : uint8_t { automatic, lf, crlf, cr };  // automatic: each of the three, also mixed

struct CsvFormat {
  char separator = 0;  // 0: chosen from the header line among ; , tab | and blank
  char quote = '"';    // 0: none. Special only at the start of a cell; doubled inside means itself
  LineEnds line_ends = LineEnds::automatic;
  std::string comment;  // lines starting with it are skipped; empty: none
  size_t line_bytes_max = 1u << 20;
  size_t columns_max = 4096;
};

struct CsvDamage {
  uint64_t offset = 0;  // file offset of the line
  uint64_t line = 0;    // from 1
  Errc code = Errc::corrupt;
  std::string what;
};

// Views are valid until the next call to the reader.
struct CsvRow {
  uint64_t line = 0;       // from 1, of the row's first line
  uint64_t offset = 0;     // file offset of the first byte
  uint64_t end = 0;        // file offset after the line end
  bool terminated = true;  // false: the file ended before a line end, so the last cell may be cut short
  std::vector<std::string_view> cells;
};

class CsvReader {
 public:
  // `source` must not be null.
  CsvReader(std::shared_ptr<const ByteSource> source, CsvFormat format);

  // Reads the header line; call once, first. Names are trimmed; trailing empty ones are dropped.
  // Errors: not_found (no line in the file), corrupt, too_large, io.
  Status read_header();
  const std::vector<std::string>& header() const noexcept { return header_; }
  // Cells in the header line, with the trailing empty ones.
  size_t header_cells() const noexcept { return header_cells_; }
  uint64_t header_end() const noexcept { return header_end_; }  // file offset after the header line
  char separator() const noexcept { return format_.separator; }
  // Comment lines before the header, without the prefix, at most 64.
  const std::vector<std::string>& comments() const noexcept { return comments_; }

  // The next row that is not empty and no comment, or null at the end: then damage() says whether all was read.
  const CsvRow* next();
  const std::optional<CsvDamage>& damage() const noexcept { return damage_; }

 private:
  enum class Parse : uint8_t { row, more, failed, end };
  bool refill();
  const CsvRow* next_line();
  Parse parse_line();
  Parse parse_quoted(size_t& at, std::string_view& cell);
  Parse finish_line(size_t at);
  size_t line_end_bytes(size_t at, bool& more) const noexcept;
  Parse stop(Errc code, std::string what);
  bool choose_separator();

  std::shared_ptr<const ByteSource> source_;
  CsvFormat format_;
  std::string buffer_;
  uint64_t buffer_offset_ = 0;  // file offset of buffer_[0]
  size_t at_ = 0;               // start of the next line in buffer_
  bool at_end_ = false;         // buffer_ reaches the end of the file
  uint64_t line_ = 1;
  uint64_t lines_in_row_ = 0;
  CsvRow row_;
  std::deque<std::string> unescaped_;
  std::vector<std::string> header_;
  std::vector<std::string> comments_;
  size_t header_cells_ = 0;
  uint64_t header_end_ = 0;
  std::optional<CsvDamage> damage_;
};

}  // namespace drover::capture
