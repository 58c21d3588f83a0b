#include "actors/capture/csv.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "actors/capture/number.hpp"

namespace drover::capture {
namespace {

constexpr size_t window_bytes = 1u << 20;
constexpr size_t comments_max = 64;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

}  // namespace

CsvReader::CsvReader(std::shared_ptr<const ByteSource> source, CsvFormat format)
    : source_(std::move(source)), format_(std::move(format)) {}

// Drops what was consumed and appends one more window. False: nothing more (end, or an error in damage_).
bool CsvReader::refill() {
  const uint64_t next = buffer_offset_ + buffer_.size();
  if (next >= source_->size()) {
    at_end_ = true;
    return false;
  }
  buffer_.erase(0, at_);
  buffer_offset_ += at_;
  at_ = 0;
  const auto size = static_cast<size_t>(std::min<uint64_t>(window_bytes, source_->size() - next));
  auto bytes = source_->read(next, size);
  if (!bytes) {
    stop(bytes.error().code, bytes.error().message());
    return false;
  }
  buffer_.append(bytes->text());
  at_end_ = next + size >= source_->size();
  return true;
}

CsvReader::Parse CsvReader::stop(Errc code, std::string what) {
  damage_ = CsvDamage{buffer_offset_ + at_, line_, code, std::move(what)};
  return Parse::failed;
}

// Bytes of the line end at buffer_[at]: 0 when there is none. `more` is set when the answer lies beyond the buffer.
size_t CsvReader::line_end_bytes(size_t at, bool& more) const noexcept {
  const char c = buffer_[at];
  const LineEnds mode = format_.line_ends;
  if (c == '\n') return mode == LineEnds::automatic || mode == LineEnds::lf ? 1 : 0;
  if (c != '\r' || mode == LineEnds::lf) return 0;
  if (mode == LineEnds::cr) return 1;
  if (at + 1 < buffer_.size()) {
    if (buffer_[at + 1] == '\n') return 2;
  } else if (!at_end_) {
    more = true;
    return 0;
  }
  return mode == LineEnds::automatic ? 1 : 0;
}

CsvReader::Parse CsvReader::finish_line(size_t at) {
  row_.end = buffer_offset_ + at;
  at_ = at;
  return Parse::row;
}

// A cell that starts with the quote, at buffer_[at]. Leaves `at` on the separator or line end after it.
CsvReader::Parse CsvReader::parse_quoted(size_t& at, std::string_view& cell) {
  size_t begin = at + 1;
  std::string* copy = nullptr;
  for (size_t i = begin;; ++i) {
    if (i - at_ > format_.line_bytes_max) return stop(Errc::too_large, "a quoted cell never ends");
    if (i >= buffer_.size()) {
      if (!at_end_) return Parse::more;
      row_.terminated = false;  // the quote was never closed: what is there is a torn last line
      cell = std::string_view(buffer_).substr(begin);
      at = buffer_.size();
      return Parse::row;
    }
    if (buffer_[i] == '\n') ++lines_in_row_;
    if (buffer_[i] != format_.quote) continue;
    if (i + 1 >= buffer_.size() && !at_end_) return Parse::more;
    const std::string_view piece = std::string_view(buffer_).substr(begin, i - begin);
    if (i + 1 < buffer_.size() && buffer_[i + 1] == format_.quote) {
      if (copy == nullptr) copy = &unescaped_.emplace_back();
      copy->append(piece).push_back(format_.quote);
      begin = ++i + 1;
      continue;
    }
    if (copy != nullptr) copy->append(piece);
    cell = copy != nullptr ? std::string_view(*copy) : piece;
    at = i + 1;
    return Parse::row;
  }
}

CsvReader::Parse CsvReader::parse_line() {
  row_.cells.clear();
  row_.terminated = true;
  row_.offset = buffer_offset_ + at_;
  row_.line = line_;
  lines_in_row_ = 0;
  unescaped_.clear();
  if (at_ >= buffer_.size()) return at_end_ ? Parse::end : Parse::more;
  size_t begin = at_;
  size_t at = at_;
  const char separator = format_.separator;
  while (true) {
    std::string_view quoted;
    bool was_quoted = false;
    if (format_.quote != 0 && at == begin && at < buffer_.size() && buffer_[at] == format_.quote) {
      if (const Parse result = parse_quoted(at, quoted); result != Parse::row) return result;
      was_quoted = true;
    }
    size_t end_bytes = 0;
    for (; at < buffer_.size(); ++at) {
      const char c = buffer_[at];
      if (c == separator) break;
      if (c > '\r') continue;
      bool more = false;
      end_bytes = line_end_bytes(at, more);
      if (more) return Parse::more;
      if (end_bytes != 0) break;
    }
    const bool hit_end = at >= buffer_.size();
    if (hit_end && !at_end_) {
      if (at - at_ > format_.line_bytes_max) return stop(Errc::too_large, "the line is longer than allowed");
      return Parse::more;
    }
    if (at - at_ > format_.line_bytes_max) return stop(Errc::too_large, "the line is longer than allowed");
    if (row_.cells.size() >= format_.columns_max) return stop(Errc::too_large, "the line has too many columns");
    row_.cells.push_back(was_quoted ? quoted : std::string_view(buffer_).substr(begin, at - begin));
    if (hit_end) {
      row_.terminated = false;
      return finish_line(at);
    }
    if (end_bytes != 0) return finish_line(at + end_bytes);
    begin = ++at;
  }
}

// Any line, also empty ones and comments.
const CsvRow* CsvReader::next_line() {
  if (damage_) return nullptr;
  while (true) {
    switch (parse_line()) {
      case Parse::row:
        line_ += 1 + lines_in_row_;
        return &row_;
      case Parse::more:
        if (!refill() && damage_) return nullptr;
        break;
      case Parse::failed:
      case Parse::end:
        return nullptr;
    }
  }
}

const CsvRow* CsvReader::next() {
  while (const CsvRow* row = next_line()) {
    const std::string_view first = row->cells.front();
    if (row->cells.size() == 1 && trim(first).empty()) continue;
    const std::string_view text(buffer_.data() + (row->offset - buffer_offset_), first.size());
    if (!format_.comment.empty() && text.starts_with(format_.comment)) {
      if (header_.empty() && comments_.size() < comments_max) {
        const std::string_view line(buffer_.data() + (row->offset - buffer_offset_), row->end - row->offset);
        comments_.emplace_back(trim(line.substr(format_.comment.size(), 512)));
      }
      continue;
    }
    return row;
  }
  return nullptr;
}

// Takes the candidate that splits the first line that is no comment most often; a comma when none does.
bool CsvReader::choose_separator() {
  if (format_.separator != 0) return true;
  constexpr std::array<char, 5> candidates = {';', ',', '\t', '|', ' '};  // a blank only where no other is
  format_.separator = '\0';  // hardly ever there: the whole line is one cell
  const CsvRow* row = next();
  format_.separator = ',';
  if (row == nullptr) return !damage_;
  std::array<size_t, candidates.size()> counts{};
  bool quoted = false;
  const size_t begin = row->offset - buffer_offset_;
  for (const char c : std::string_view(buffer_).substr(begin, row->end - row->offset)) {
    if (format_.quote != 0 && c == format_.quote) quoted = !quoted;
    for (size_t i = 0; i < candidates.size(); ++i)
      if (!quoted && c == candidates[i]) ++counts[i];
  }
  const size_t best = static_cast<size_t>(std::max_element(counts.begin(), counts.end() - 1) - counts.begin());
  if (counts[best] > 0) format_.separator = candidates[best];
  if (counts[best] == 0 && counts.back() > 0) format_.separator = ' ';
  at_ = begin;
  line_ = row->line;
  return true;
}

Status CsvReader::read_header() {
  refill();
  if (buffer_.starts_with(byte_order_mark)) at_ = byte_order_mark.size();
  const bool chosen = !damage_ && choose_separator();
  const CsvRow* row = chosen ? next() : nullptr;
  if (row == nullptr && damage_) return fail(damage_->code, "line " + std::to_string(damage_->line), damage_->what);
  if (row == nullptr) return fail(Errc::not_found, "line 1", "the file has no header line");
  header_cells_ = row->cells.size();
  header_end_ = row->end;
  for (const std::string_view cell : row->cells) header_.emplace_back(trim(cell));
  while (!header_.empty() && header_.back().empty()) header_.pop_back();
  if (header_.empty()) return fail(Errc::corrupt, "line " + std::to_string(row->line), "the header names no column");
  return {};
}

}  // namespace drover::capture
