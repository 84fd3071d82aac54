// Reading arguments and giving results, with the checks and the error texts
// that every function shares.
//
// All readers take (fcinfo, number, name); the name is the SQL argument's and
// appears in the message. `required_*` raises 22004 for null; `optional_*`
// returns std::nullopt. Values out of range raise 22023. Views point into the
// caller's argument or into the current memory context, never to be freed.
#pragma once

#include "pg/headers.hpp"

#include "pg/error.hpp"
#include "pg/memory.hpp"

namespace pg {

// --- null and range -----------------------------------------------------------------------------

inline bool is_null(FunctionCallInfo fcinfo, int number) {
  return number >= fcinfo->nargs || fcinfo->args[number].isnull;
}

[[noreturn]] inline void raise_null(const char* name) {
  raise(DW_NULL_VALUE_NOT_ALLOWED, psprintf("%s must not be null", name));
}

[[noreturn]] inline void raise_invalid(const char* message, const char* detail = nullptr,
                                       const char* hint = nullptr) {
  raise(DW_INVALID_PARAMETER_VALUE, message, detail, hint);
}

inline Datum required_datum(FunctionCallInfo fcinfo, int number, const char* name) {
  if (is_null(fcinfo, number)) raise_null(name);
  return fcinfo->args[number].value;
}

inline void check_range(int64 value, const char* name, int64 least, int64 most) {
  if (value < least || value > most)
    raise_invalid(psprintf("%s must be between " INT64_FORMAT " and " INT64_FORMAT
                           ", not " INT64_FORMAT,
                           name, least, most, value));
}

// --- numbers and booleans -----------------------------------------------------------------------

inline int32 required_int(FunctionCallInfo fcinfo, int number, const char* name, int32 least,
                          int32 most) {
  const int32 value = DatumGetInt32(required_datum(fcinfo, number, name));
  check_range(value, name, least, most);
  return value;
}

inline std::optional<int32> optional_int(FunctionCallInfo fcinfo, int number, const char* name,
                                         int32 least, int32 most) {
  if (is_null(fcinfo, number)) return std::nullopt;
  return required_int(fcinfo, number, name, least, most);
}

inline int64 required_bigint(FunctionCallInfo fcinfo, int number, const char* name,
                             int64 least = PG_INT64_MIN, int64 most = PG_INT64_MAX) {
  const int64 value = DatumGetInt64(required_datum(fcinfo, number, name));
  check_range(value, name, least, most);
  return value;
}

inline std::optional<int64> optional_bigint(FunctionCallInfo fcinfo, int number, const char* name,
                                            int64 least = PG_INT64_MIN, int64 most = PG_INT64_MAX) {
  if (is_null(fcinfo, number)) return std::nullopt;
  return required_bigint(fcinfo, number, name, least, most);
}

inline bool required_bool(FunctionCallInfo fcinfo, int number, const char* name) {
  return DatumGetBool(required_datum(fcinfo, number, name));
}

inline std::optional<bool> optional_bool(FunctionCallInfo fcinfo, int number) {
  if (is_null(fcinfo, number)) return std::nullopt;
  return DatumGetBool(fcinfo->args[number].value);
}

inline double required_double(FunctionCallInfo fcinfo, int number, const char* name, double least,
                              double most) {
  const double value = DatumGetFloat8(required_datum(fcinfo, number, name));
  if (!(value >= least && value <= most))  // also refuses NaN
    raise_invalid(psprintf("%s must be between %g and %g, not %g", name, least, most, value));
  return value;
}

inline std::optional<double> optional_double(FunctionCallInfo fcinfo, int number, const char* name,
                                             double least, double most) {
  if (is_null(fcinfo, number)) return std::nullopt;
  return required_double(fcinfo, number, name, least, most);
}

// --- text and bytes -----------------------------------------------------------------------------

// The text behind a text datum; copied only if it is compressed or out of line.
inline std::string_view text_view(Datum value) {
  const text* const bytes = DatumGetTextPP(value);
  return {VARDATA_ANY(bytes), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(bytes))};
}

// Lengths are bytes. `least` 1 refuses the empty string.
inline void check_length(std::string_view value, const char* name, std::size_t least,
                         std::size_t most) {
  if (value.size() < least && least == 1) raise_invalid(psprintf("%s must not be empty", name));
  if (value.size() < least || value.size() > most)
    raise_invalid(
        psprintf("%s must be %zu to %zu bytes long, not %zu", name, least, most, value.size()));
}

inline std::string_view required_text(FunctionCallInfo fcinfo, int number, const char* name,
                                      std::size_t least, std::size_t most) {
  const std::string_view value = text_view(required_datum(fcinfo, number, name));
  check_length(value, name, least, most);
  return value;
}

inline std::optional<std::string_view> optional_text(FunctionCallInfo fcinfo, int number,
                                                     const char* name, std::size_t least,
                                                     std::size_t most) {
  if (is_null(fcinfo, number)) return std::nullopt;
  return required_text(fcinfo, number, name, least, most);
}

inline Datum text_datum(std::string_view value) {
  return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size())));
}

// A jsonb (or any varlena) in line and uncompressed, its header perhaps short:
// fit to be stored or hashed, and safe after the source row is gone.
inline Datum required_varlena(FunctionCallInfo fcinfo, int number, const char* name) {
  return PointerGetDatum(PG_DETOAST_DATUM_PACKED(required_datum(fcinfo, number, name)));
}

inline std::optional<Datum> optional_varlena(FunctionCallInfo fcinfo, int number) {
  if (is_null(fcinfo, number)) return std::nullopt;
  return PointerGetDatum(PG_DETOAST_DATUM_PACKED(fcinfo->args[number].value));
}

// --- time ---------------------------------------------------------------------------------------

// Microseconds of a finite, non-negative interval. Months count 30 days and days
// 24 hours, as in interval comparison.
inline int64 interval_microseconds(const Interval* span, const char* name) {
  int64 days = 0;
  int64 total = 0;
  if (INTERVAL_NOT_FINITE(span)) raise_invalid(psprintf("%s must be finite", name));
  if (__builtin_mul_overflow(static_cast<int64>(span->month), int64{DAYS_PER_MONTH}, &days) ||
      __builtin_add_overflow(days, static_cast<int64>(span->day), &days) ||
      __builtin_mul_overflow(days, USECS_PER_DAY, &total) ||
      __builtin_add_overflow(total, span->time, &total))
    raise_invalid(psprintf("%s is out of range", name));
  if (total < 0) raise_invalid(psprintf("%s must not be negative", name));
  return total;
}

// Bounds in microseconds; the message shows them in seconds.
inline int64 required_interval(FunctionCallInfo fcinfo, int number, const char* name,
                               int64 least = 0, int64 most = PG_INT64_MAX) {
  const int64 value =
      interval_microseconds(DatumGetIntervalP(required_datum(fcinfo, number, name)), name);
  if (value < least)
    raise_invalid(psprintf("%s must be at least %g seconds", name,
                           static_cast<double>(least) / static_cast<double>(USECS_PER_SEC)));
  if (value > most)
    raise_invalid(psprintf("%s must be at most %g seconds", name,
                           static_cast<double>(most) / static_cast<double>(USECS_PER_SEC)));
  return value;
}

inline std::optional<int64> optional_interval(FunctionCallInfo fcinfo, int number, const char* name,
                                              int64 least = 0, int64 most = PG_INT64_MAX) {
  if (is_null(fcinfo, number)) return std::nullopt;
  return required_interval(fcinfo, number, name, least, most);
}

// Whole days and the rest, as a person would write it.
inline Interval* make_interval(int64 microseconds) {
  Interval* const span = allocate_zeroed<Interval>(1);
  span->day = static_cast<int32>(microseconds / USECS_PER_DAY);
  span->time = microseconds % USECS_PER_DAY;
  return span;
}

inline TimestampTz required_timestamp(FunctionCallInfo fcinfo, int number, const char* name) {
  const TimestampTz value = DatumGetTimestampTz(required_datum(fcinfo, number, name));
  if (TIMESTAMP_NOT_FINITE(value)) raise_invalid(psprintf("%s must be finite", name));
  return value;
}

inline std::optional<TimestampTz> optional_timestamp(FunctionCallInfo fcinfo, int number,
                                                     const char* name) {
  if (is_null(fcinfo, number)) return std::nullopt;
  return required_timestamp(fcinfo, number, name);
}

// --- arrays -------------------------------------------------------------------------------------

// The elements of a one-dimensional array, in the current memory context.
struct array_values {
  const Datum* values = nullptr;
  const bool* nulls = nullptr;
  int count = 0;
  bool given = false;  // false: the array itself was null

  // Element `at`; 22004 when it is null.
  [[nodiscard]] Datum required(int at, const char* name) const {
    if (nulls[at]) raise(DW_NULL_VALUE_NOT_ALLOWED, psprintf("%s must not contain nulls", name));
    return values[at];
  }
  // An array that is not given reads as all null.
  [[nodiscard]] bool is_null(int at) const { return !given || nulls[at]; }
};

inline array_values read_array(Datum value, Oid element_type, const char* name, int most) {
  ArrayType* const array = DatumGetArrayTypeP(value);
  if (ARR_NDIM(array) > 1) raise_invalid(psprintf("%s must have one dimension", name));
  if (ARR_ELEMTYPE(array) != element_type)
    elog(ERROR, "%s has element type %u, not %u", name, ARR_ELEMTYPE(array), element_type);
  const int count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
  if (count > most)
    raise_invalid(psprintf("%s must have at most %d elements, not %d", name, most, count));

  int16 length = 0;
  bool by_value = false;
  char alignment = '\0';
  switch (element_type) {
    case INT8OID: /* those of every batch call, without a look into the catalog */
      length = sizeof(int64);
      by_value = FLOAT8PASSBYVAL;
      alignment = TYPALIGN_DOUBLE;
      break;
    case TEXTOID:
    case JSONBOID:
      length = -1;
      alignment = TYPALIGN_INT;
      break;
    default:
      get_typlenbyvalalign(element_type, &length, &by_value, &alignment);
      break;
  }
  Datum* values = nullptr;
  bool* nulls = nullptr;
  int read = 0;
  deconstruct_array(array, element_type, length, by_value, alignment, &values, &nulls, &read);
  return {values, nulls, read, true};
}

inline array_values required_array(FunctionCallInfo fcinfo, int number, const char* name,
                                   Oid element_type, int most) {
  return read_array(required_datum(fcinfo, number, name), element_type, name, most);
}

inline array_values optional_array(FunctionCallInfo fcinfo, int number, const char* name,
                                   Oid element_type, int most) {
  if (is_null(fcinfo, number)) return {};
  return read_array(fcinfo->args[number].value, element_type, name, most);
}

// 22023 unless `other` is absent or as long as `first`.
inline void check_same_length(const array_values& first, const char* first_name,
                              const array_values& other, const char* other_name) {
  if (other.given && other.count != first.count)
    raise_invalid(psprintf("%s has %d elements, but %s has %d", other_name, other.count, first_name,
                           first.count));
}

// --- results ------------------------------------------------------------------------------------

// One composite value of the function's declared row type.
inline Datum row_result(FunctionCallInfo fcinfo, const Datum* values, const bool* nulls) {
  TupleDesc description = nullptr;
  if (get_call_result_type(fcinfo, nullptr, &description) != TYPEFUNC_COMPOSITE)
    elog(ERROR, "return type must be a row type");
  BlessTupleDesc(description);
  return HeapTupleGetDatum(
      heap_form_tuple(description, const_cast<Datum*>(values), const_cast<bool*>(nulls)));
}

// A set: begin_set once, put_row per row, then return end_set. The columns are those the caller
// expects, which are the declared ones; asking the catalog for them costs more than most calls.
inline void begin_set(FunctionCallInfo fcinfo) {
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
}

inline void put_row(FunctionCallInfo fcinfo, const Datum* values, const bool* nulls) {
  const auto* const result = reinterpret_cast<const ReturnSetInfo*>(fcinfo->resultinfo);
  tuplestore_putvalues(result->setResult, result->setDesc, const_cast<Datum*>(values),
                       const_cast<bool*>(nulls));
}

inline Datum end_set(FunctionCallInfo fcinfo) {
  fcinfo->isnull = true;
  return Datum{0};
}

inline Datum null_result(FunctionCallInfo fcinfo) {
  fcinfo->isnull = true;
  return Datum{0};
}

inline Datum void_result() { return Datum{0}; }

}  // namespace pg
