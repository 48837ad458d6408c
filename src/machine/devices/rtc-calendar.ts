/**
 * Calendar arithmetic of the real-time clock: seconds since 2000-01-01 00:00:00 (a Saturday) to and from the
 * register bytes, in BCD or binary, 24 or 12 hours.
 * Invariants: pure functions; secondsToRegisters then registersToSeconds gives the same second, from 2000 to 9999;
 * register bytes that are no date give some second, never an error.
 * Source: Motorola MC146818 data sheet, table 3 "Time, Calendar, and Alarm Data Modes"; Gregorian leap rule.
 */

const SECONDS = 0x00;
const MINUTES = 0x02;
const HOURS = 0x04;
const WEEKDAY = 0x06;
const DAY = 0x07;
const MONTH = 0x08;
const YEAR = 0x09;
/** Where PC BIOSes keep the century. */
const CENTURY = 0x32;

const B_BINARY = 0x04;
const B_24_HOURS = 0x02;
const HOUR_PM = 0x80;
const SECONDS_PER_DAY = 86_400;
const DAYS_PER_400_YEARS = 146_097;
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/** Registers that show the running clock. The alarm registers between them do not. */
export const CLOCK_REGISTERS = [SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY] as const;

/** True for a register that shows the running clock. */
export function isClockRegister(index: number): boolean {
  return (CLOCK_REGISTERS as readonly number[]).includes(index);
}

/** The clock registers at their indices, in the format that register B asks for; other indices as in `others`. */
export function secondsToRegisters(seconds: number, registerB: number, others: readonly number[]): number[] {
  const bytes = [...others];
  const encode = encoder(registerB);
  const inDay = seconds % SECONDS_PER_DAY;
  const days = (seconds - inDay) / SECONDS_PER_DAY;
  const { year, month, day } = dateOf(days);
  bytes[SECONDS] = encode(inDay % 60);
  bytes[MINUTES] = encode(Math.floor(inDay / 60) % 60);
  bytes[HOURS] = encodeHour(Math.floor(inDay / 3600), registerB);
  bytes[WEEKDAY] = encode(((days + 6) % 7) + 1); // Sunday is 1
  bytes[DAY] = encode(day);
  bytes[MONTH] = encode(month);
  bytes[YEAR] = encode(year % 100);
  bytes[CENTURY] = encode(Math.floor(year / 100) % 100);
  return bytes;
}

/** The second that the clock registers name. Years before 2000 count as 2000; the day of the week is not looked at. */
export function registersToSeconds(bytes: readonly number[], registerB: number): number {
  const decode = decoder(registerB);
  const at = (index: number) => decode(bytes[index]!);
  const year = Math.max(2000, at(CENTURY) * 100 + at(YEAR));
  const month = Math.min(12, Math.max(1, at(MONTH)));
  const days = daysBeforeYear(year) + daysBeforeMonth(year, month) + Math.max(1, at(DAY)) - 1;
  return days * SECONDS_PER_DAY + decodeHour(bytes[HOURS]!, registerB) * 3600 + at(MINUTES) * 60 + at(SECONDS);
}

function encoder(registerB: number): (value: number) => number {
  return (registerB & B_BINARY) !== 0 ? (value) => value : (value) => (Math.floor(value / 10) << 4) | (value % 10);
}

function decoder(registerB: number): (byte: number) => number {
  return (registerB & B_BINARY) !== 0 ? (byte) => byte : (byte) => (byte >> 4) * 10 + (byte & 15);
}

/** 12-hour mode: 12, 1, ... 11, with bit 7 set after noon. */
function encodeHour(hour: number, registerB: number): number {
  const encode = encoder(registerB);
  if ((registerB & B_24_HOURS) !== 0) return encode(hour);
  return encode(((hour + 11) % 12) + 1) | (hour >= 12 ? HOUR_PM : 0);
}

function decodeHour(byte: number, registerB: number): number {
  const decode = decoder(registerB);
  if ((registerB & B_24_HOURS) !== 0) return decode(byte);
  return (decode(byte & ~HOUR_PM) % 12) + ((byte & HOUR_PM) !== 0 ? 12 : 0);
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** Days from 2000-01-01 to January 1 of a year from 2000 on. */
function daysBeforeYear(year: number): number {
  const past = year - 2000;
  const leaps = past === 0 ? 0 : Math.ceil(past / 4) - Math.ceil(past / 100) + Math.ceil(past / 400);
  return past * 365 + leaps;
}

function daysBeforeMonth(year: number, month: number): number {
  let days = month > 2 && isLeap(year) ? 1 : 0;
  for (let before = 1; before < month; before++) days += MONTH_DAYS[before - 1]!;
  return days;
}

function dateOf(days: number): { year: number; month: number; day: number } {
  // The estimate is never late by more than a year, nor early.
  let year = 2000 + Math.floor((days * 400) / DAYS_PER_400_YEARS);
  while (daysBeforeYear(year) > days) year--;
  while (daysBeforeYear(year + 1) <= days) year++;
  const inYear = days - daysBeforeYear(year);
  let month = 12;
  while (daysBeforeMonth(year, month) > inYear) month--;
  return { year, month, day: inYear - daysBeforeMonth(year, month) + 1 };
}
