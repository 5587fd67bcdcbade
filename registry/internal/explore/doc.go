// Package explore
package explore
