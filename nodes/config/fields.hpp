// Fields: the one declaration of a component's configuration.
//
// Each component has a plain struct with defaults and one function `describe(Fields&, Config&)` that names every key
// with its unit, range and meaning. From that one list come parsing, range checks, "did you mean", the effective
// configuration that a node logs at start, and the documented files under configs/.
//
// A Fields object refers to the struct it was made for: use it while that struct lives where it was. Not thread safe.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nodes/config/value.hpp"

namespace drover::nodes {

// Everything wrong with one configuration, for one report.
class Problems {
 public:
  void add(const Place& place, std::string_view key, std::string_view what);
  // At the place where `key` was set, or at the file as a whole if it was not.
  void add(std::string_view key, std::string_view what) { add(place_of(key), key, what); }

  void remember(const std::string& key, Place place) { places_.emplace_back(prefix_ + key, std::move(place)); }
  // Put before every key until changed: "capture.spool[0]." while an item of a list is read. Returns the old one.
  std::string set_prefix(std::string prefix) { return std::exchange(prefix_, std::move(prefix)); }
  const std::string& prefix() const noexcept { return prefix_; }
  Place place_of(std::string_view key) const;
  void set_file(std::string file) { file_ = std::move(file); }

  size_t count() const noexcept { return lines_.size(); }
  // Ok, or invalid_argument whose text lists every problem as "file:line: key: what", in file order.
  Status status() const;

 private:
  struct Line {
    Place place;
    std::string text;
  };
  std::string file_;
  std::string prefix_;
  std::vector<Line> lines_;
  std::vector<std::pair<std::string, Place>> places_;
};

// One declared key. Made by Fields; `required`, `example` and `check` refine it.
struct Field {
  std::string key;           // full: "store.dir"; inside a list of tables: relative to the item
  std::string kind;          // what to write: "text", "duration in ms", ...
  std::string allowed;       // "10ms .. 1h", empty when anything of that kind goes
  std::string description;   // one or two sentences
  std::string default_text;  // as TOML
  std::string example_text;  // as TOML; what the documented file shows as set, if not empty
  bool is_required = false;
  std::vector<Field> items;  // keys of a list of tables

  std::function<void(const Value&, Problems&)> read;    // stores the value or adds problems
  std::function<std::string()> show;                    // the current value as TOML
  std::function<void(const std::string&)> resolve;      // paths: make absolute from the folder of the file
  std::function<std::string(const std::string&)> rule;  // texts: empty, or what is wrong

  // No default: the file must say it. `toml` is the example in the documented file.
  Field& required(std::string toml);
  // Set in the documented file although it has a default.
  Field& example(std::string toml);
  // For texts: returns what is wrong with the value, or nothing.
  Field& check(std::function<std::string(const std::string&)> text_rule);
};

struct Section {
  std::string name;  // "store", or "capture.spool"
  std::string description;
};

template <class T>
struct Range {
  T min = std::numeric_limits<T>::lowest();
  T max = std::numeric_limits<T>::max();
};

class Fields {
 public:
  // Following keys belong to [name].
  void section(std::string name, std::string description);

  template <std::integral T>
  Field& number(std::string key, T& value, Range<int64_t> range, std::string unit, std::string description) {
    return integer(std::move(key), access(value), range, IntegerForm::number, unit, std::move(description));
  }
  // "250ms", "5s" or whole milliseconds.
  template <std::integral T>
  Field& duration_ms(std::string key, T& value, Range<int64_t> range, std::string description) {
    return integer(std::move(key), access(value), range, IntegerForm::duration, "", std::move(description));
  }
  // "64MiB" or whole bytes.
  template <std::integral T>
  Field& bytes(std::string key, T& value, Range<int64_t> range, std::string description) {
    return integer(std::move(key), access(value), range, IntegerForm::size, "", std::move(description));
  }
  Field& real(std::string key, double& value, Range<double> range, std::string unit, std::string description);
  Field& flag(std::string key, bool& value, std::string description);
  Field& text(std::string key, std::string& value, std::string description);
  // A relative path counts from the folder of the config file. Empty stays empty.
  Field& path(std::string key, std::string& value, std::string description);
  Field& texts(std::string key, std::vector<std::string>& value, std::string description);

  template <class E>
  Field& choice(std::string key, E& value, std::vector<std::pair<std::string, E>> names, std::string description) {
    std::vector<std::string> texts;
    for (const auto& [name, unused] : names) texts.push_back(name);
    auto get = [&value, names] {
      const auto at = std::find_if(names.begin(), names.end(), [&](const auto& n) { return n.second == value; });
      return at == names.end() ? std::string("?") : at->first;
    };
    auto set = [&value, names](size_t index) { value = names[index].second; };
    return choice_of(std::move(key), std::move(texts), get, set, std::move(description));
  }

  // [[key]]: a list of tables; `describe_item(Fields&, Item&)` declares the keys of one.
  template <class Item, class Describe>
  Field& tables(std::string key, std::vector<Item>& value, Range<int64_t> count, std::string description,
                Describe describe_item) {
    Item prototype{};
    Fields keys;
    describe_item(keys, prototype);
    ListForm form;
    form.keys = std::move(keys.fields_);
    form.clear = [&value] { value.clear(); };
    form.read_item = [&value, describe_item](const Value& table, Problems& problems) {
      Item item{};
      Fields item_fields;
      describe_item(item_fields, item);
      item_fields.read(table, problems);
      value.push_back(std::move(item));
    };
    form.visit = [&value, describe_item](const std::function<void(const Fields&)>& visitor) {
      for (Item& item : value) {
        Fields item_fields;
        describe_item(item_fields, item);
        visitor(item_fields);
      }
    };
    return list(std::move(key), std::move(form), count, std::move(description));
  }

  // Reads a table: every declared key, then complaints about keys nobody declared.
  void read(const Value& table, Problems& problems) const;
  // Makes paths absolute; `folder` is that of the config file.
  void resolve_paths(const std::string& folder) const;

  const std::vector<Field>& fields() const noexcept { return fields_; }
  const std::vector<Section>& sections() const noexcept { return sections_; }
  // Every full key in order; keys of lists of tables as "capture.spool[].path".
  std::vector<std::string> keys() const;

  // "node.id" and its current value as TOML, for every key: the effective configuration.
  std::vector<std::pair<std::string, std::string>> effective() const;
  // A documented TOML file: required keys and examples set, everything else as "#key = default".
  std::string document(std::string_view title) const;

 private:
  enum class IntegerForm : uint8_t { number, duration, size };
  struct IntegerAccess {
    std::function<int64_t()> get;
    std::function<void(int64_t)> set;
    int64_t type_min;
    int64_t type_max;
  };
  struct ListForm {
    std::vector<Field> keys;
    std::function<void()> clear;
    std::function<void(const Value&, Problems&)> read_item;
    std::function<void(const std::function<void(const Fields&)>&)> visit;
  };

  template <std::integral T>
  static IntegerAccess access(T& value) {
    constexpr int64_t top = std::numeric_limits<int64_t>::max();
    constexpr bool wider = std::cmp_greater(std::numeric_limits<T>::max(), top);
    return {[&value] { return static_cast<int64_t>(value); }, [&value](int64_t v) { value = static_cast<T>(v); },
            static_cast<int64_t>(std::numeric_limits<T>::min()),
            wider ? top : static_cast<int64_t>(std::numeric_limits<T>::max())};
  }
  Field& add(std::string key, std::string kind, std::string description);
  Field& integer(std::string key, IntegerAccess value, Range<int64_t> range, IntegerForm form, const std::string& unit,
                 std::string description);
  Field& choice_of(std::string key, std::vector<std::string> names, std::function<std::string()> get,
                   std::function<void(size_t)> set, std::string description);
  Field& list(std::string key, ListForm form, Range<int64_t> count, std::string description);
  void unknown_keys(const Value& table, const std::string& path, Problems& problems) const;

  std::vector<Field> fields_;
  std::vector<Section> sections_;
  std::string prefix_;
};

}  // namespace drover::nodes
